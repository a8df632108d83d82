"""Checkpoints as other projects write them, made by nothing of the pipeline's conversion."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

BASIC, DEEP = {"resnet18": (2, 2, 2, 2)}, {"resnet50": (3, 4, 6, 3)}


def _norm(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for tensor in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{tensor}", (channels,)
    yield f"{name}.num_batches_tracked", ()


def torchvision_shapes(name: str, base: int = 64) -> dict[str, tuple[int, ...]]:
    """Key list of torchvision's ResNet, written out from He et al. 2016, Table 1."""
    is_deep = name in DEEP
    depths, factor = (DEEP if is_deep else BASIC)[name], 4 if is_deep else 1
    shapes: dict[str, tuple[int, ...]] = {
        "conv1.weight": (base, 3, 7, 7),
        **dict(_norm("bn1", base)),
    }
    inputs = base
    for stage, depth in enumerate(depths):
        planes = base * 2**stage
        for index in range(depth):
            block = f"layer{stage + 1}.{index}"
            kernels = [(inputs, planes, 1), (planes, planes, 3), (planes, 4 * planes, 1)]
            if not is_deep:
                kernels = [(inputs, planes, 3), (planes, planes, 3)]
            for number, (a, b, size) in enumerate(kernels, 1):
                shapes[f"{block}.conv{number}.weight"] = (b, a, size, size)
                shapes |= dict(_norm(f"{block}.bn{number}", b))
            if index == 0 and (stage > 0 or is_deep):
                shapes[f"{block}.downsample.0.weight"] = (factor * planes, inputs, 1, 1)
                shapes |= dict(_norm(f"{block}.downsample.1", factor * planes))
            inputs = factor * planes
    return shapes | {"fc.weight": (1000, inputs), "fc.bias": (1000,)}


def pri3d_shapes(name: str, base: int = 64, outputs: int = 128) -> dict[str, tuple[int, ...]]:
    """Key list of Pri3D's Res18UNet or Res50UNet (spec C.1)."""
    shapes = {
        f"backbone.encoder.{key}": shape
        for key, shape in torchvision_shapes(name, base).items()
        if not key.startswith("fc.")
    }
    channels = base * 8 * (4 if name in DEEP else 1)
    for number in (1, 2, 3, 4):
        block, half = f"backbone.decoder.up{number}", channels // 2
        for conv, norm, inputs, size in (
            ("conv1", "bn1", channels, 5),
            ("conv1_2", "bn1_2", half, 3),
            ("conv2", "bn2", channels, 5),
        ):
            shapes[f"{block}.{conv}.weight"] = (half, inputs, size, size)
            shapes |= dict(_norm(f"{block}.{norm}", half))
        channels = half
    head = {"weight": (outputs, channels, 1, 1), "bias": (outputs,)}
    return shapes | {f"backbone.decoder.conv0.{key}": shape for key, shape in head.items()}


def filled(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, Tensor]:
    """Random tensors of these shapes; variances are positive, counters whole."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        values = torch.rand(shape, generator=generator)
        is_free = name.endswith("weight") and len(shape) > 1
        state[name] = (values - 0.5) * 0.2 if is_free else values + 0.5
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(int(values * 1000))
    return state


def pri3d_file(model: dict[str, Tensor]) -> dict[str, object]:
    """What Pri3D's trainer saves beside its weights."""
    parameter = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([parameter], 0.1, momentum=0.9)
    parameter.sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    return {
        "step": 5,
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "model": model,
    }


def pri3d_decoder(state: dict[str, Tensor], stages: list[Tensor]) -> Tensor:
    """Pri3D's decoder and head, computed from its tensors as spec C.1 describes them."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (
            state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(x, mean, var, weight, bias)

    def conv(x: Tensor, name: str) -> Tensor:
        weight = state[f"{name}.weight"]
        return functional.conv2d(x, weight, padding=weight.shape[-1] // 2)

    x = stages[-1]
    skips = [*reversed(stages[:-1]), None]
    for number, skip in enumerate(skips, 1):
        up = f"backbone.decoder.up{number}"
        height, width = (2 * side for side in stages[0].shape[-2:])
        if skip is not None:
            height, width = skip.shape[-2:]
        x = functional.interpolate(x, (height, width), mode="bilinear", align_corners=True)
        first = functional.relu(norm(conv(x, f"{up}.conv1"), f"{up}.bn1"))
        second = norm(conv(first, f"{up}.conv1_2"), f"{up}.bn1_2")
        x = functional.relu(second + norm(conv(x, f"{up}.conv2"), f"{up}.bn2"))
        x = x if skip is None else x + skip
    head = "backbone.decoder.conv0"
    return functional.conv2d(x, state[f"{head}.weight"], state[f"{head}.bias"])


def to_detectron2(state: dict[str, Tensor]) -> dict[str, object]:
    """As detectron2/tools/convert-torchvision-to-d2.py does it."""
    model = {}
    for name, tensor in state.items():
        k = name if "layer" in name else "stem." + name
        for t in (1, 2, 3, 4):
            k = k.replace(f"layer{t}", f"res{t + 1}")
        for t in (1, 2, 3):
            k = k.replace(f"bn{t}", f"conv{t}.norm")
        k = k.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        model[k] = tensor.detach().numpy()
    return {"model": model, "__author__": "torchvision", "matching_heuristics": True}


def sparse_state(net: nn.Module, rename: Callable[[str], str]) -> dict[str, Tensor]:
    """A 3D network's weights as MinkowskiEngine keeps them: 1x1x1 kernels flat, biases as rows."""
    state = {}
    for name, tensor in net.state_dict().items():
        value = tensor[0] if tensor.ndim == 3 and len(tensor) == 1 else tensor
        state[f"backbone3d.{rename(name)}"] = value[None] if name == "final.bias" else value
    return state
