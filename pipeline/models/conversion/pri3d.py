"""Names of the tensors in Pri3D's checkpoints, and this project's for them."""

import re
from collections.abc import Callable, Mapping

from torch import Tensor

Replacement = str | Callable[[re.Match[str]], str]

#: Pri3D's name of a 2D tensor -> ours. Its decoder's two branches are conv1, bn1, conv1_2, bn1_2
#: and conv2, bn2; conv0 is the head that pretraining adds and finetuning replaces.
_2D: tuple[tuple[str, Replacement], ...] = (
    (r"backbone\.encoder\.(.+)", r"unet.encoder.\1"),
    (r"backbone\.((?:conv1|bn1|layer[1-4])\..+)", r"unet.encoder.\1"),  # a bare ResNet: MoCo's
    *(
        (
            rf"backbone\.decoder\.up([1-4])\.{theirs}\.(.+)",
            lambda found, ours=ours: f"unet.decoder.blocks.{int(found[1]) - 1}.{ours}.{found[2]}",
        )
        for theirs, ours in {
            "conv1": "branch_a.0",
            "bn1": "branch_a.1",
            "conv1_2": "branch_a.3",
            "bn1_2": "branch_a.4",
            "conv2": "branch_b.0",
            "bn2": "branch_b.1",
        }.items()
    ),
    (r"backbone\.decoder\.conv0\.(.+)", r"head_view.\1"),
    (r"headnet\.(.+)", r"head_depth.\1"),
    (r"w2d\.(.+)", r"lin2d.\1"),
    (r"w3d\.(.+)", r"lin3d.\1"),
)


def _level(part: str, first: int) -> Callable[[re.Match[str]], str]:
    return lambda found: f"{part.format(int(found[1]) - first)}{found[2]}"


#: The same for the 3D network: MinkowskiEngine's MinkUNet.
_3D: tuple[tuple[str, Replacement], ...] = (
    (r"conv0p1s1(\..+)", r"stem.convolution\1"),
    (r"bn0(\..+)", r"stem.norm\1"),
    (r"conv([1-4])p\d+s2(\..+)", _level("down.{}.0.convolution", 1)),
    (r"bn([1-4])(\..+)", _level("down.{}.0.norm", 1)),
    (r"block([1-4])(\..+)", _level("down.{}.1", 1)),
    (r"convtr([4-7])p\d+s2(\..+)", _level("up.{}.convolution", 4)),
    (r"bntr([4-7])(\..+)", _level("up.{}.norm", 4)),
    (r"block([5-8])(\..+)", _level("merge.{}", 5)),
    (r"final(\..+)", r"final\1"),
)
#: Within the blocks and layers of the 3D network.
_IN_3D = (
    (r"\.conv1\.", ".first.convolution."),
    (r"\.norm1\.", ".first.norm."),
    (r"\.conv2\.", ".second.convolution."),
    (r"\.norm2\.", ".second.norm."),
    (r"\.downsample\.0\.", ".shortcut.convolution."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
    (r"\.bn\.", "."),
    (r"\.kernel$", ".weight"),
)
_PREFIX_3D = "backbone3d."
#: What a checkpoint holds beside the networks: the constant Sobel filter of the depth proxy.
LEFT_OUT = re.compile(r"headloss\..+")


def from_pri3d(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Rename the tensors of a checkpoint of Pri3D.

    Args:
        state: Name -> tensor, without the `module.` of data-parallel training.

    Returns:
        Our name -> tensor: `unet.*`, `head_view.*` (the 1x1 convolution that finetuning drops),
        `head_depth.*`, with GEO also `sparse.*`, `lin2d.*`, `lin3d.*`; and the names of those left
        out (see `LEFT_OUT`). A name that Pri3D does not have is kept, so that it is named as
        unexpected.

    Source: names as in Pri3D's pretrain/pri3d/model at commit 9086edd (backbone/resunet.py,
        backbone/resunet3d.py, model.py).
    """
    renamed, left_out = {}, []
    for name, tensor in state.items():
        if LEFT_OUT.fullmatch(name):
            left_out.append(name)
        elif name.startswith(_PREFIX_3D):
            ours = f"sparse.{_sparse_name(name.removeprefix(_PREFIX_3D))}"
            renamed[ours] = _sparse_tensor(ours, tensor)
        else:
            renamed[_renamed(name, _2D)] = tensor
    return renamed, left_out


def _renamed(name: str, table: tuple[tuple[str, Replacement], ...]) -> str:
    for pattern, replacement in table:
        if found := re.fullmatch(pattern, name):
            return found.expand(replacement) if isinstance(replacement, str) else replacement(found)
    return name


def _sparse_name(name: str) -> str:
    name = _renamed(name, _3D)
    for pattern, replacement in _IN_3D:
        name = re.sub(pattern, replacement, name)
    return name


def _sparse_tensor(name: str, tensor: Tensor) -> Tensor:
    """MinkowskiEngine keeps a 1x1x1 kernel as a matrix, and a bias as a row."""
    if name.endswith("convolution.weight") or name == "sparse.final.weight":
        return tensor[None] if tensor.ndim == 2 else tensor
    return tensor[0] if name == "sparse.final.bias" and tensor.ndim == 2 else tensor
