"""Networks of the size that a checkpoint's tensors have, with its weights in them."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pipeline.models.heads import PlainHead
from pipeline.models.loading import CheckpointError, load_strict
from pipeline.models.resnet import ENCODERS, LAYERS, Bottleneck, ResNet
from pipeline.models.sparse_unet import SparseUNet
from pipeline.models.unet import UNet2D

_COUNTER = ".num_batches_tracked"


def load_encoder(state: Mapping[str, Tensor], source: object) -> ResNet:
    """A ResNet with these weights.

    BatchNorm's batch counters, which have no effect, may be absent (see
    `load_torchvision_encoder`).

    Args:
        state: torchvision's name -> tensor.
        source: where they come from, for the error.

    Raises:
        CheckpointError: no ResNet that is known, or tensors that are missing or do not fit.
    """
    encoder = ResNet(*_encoder_size(state, source))
    load_strict(encoder, {**_counters(encoder), **state}, source)
    return encoder


def load_unet(state: Mapping[str, Tensor], source: object) -> UNet2D:
    """A UNet with these weights.

    Args:
        state: `encoder.*` and `decoder.*`.
        source: where they come from, for the error.

    Raises:
        CheckpointError: as `load_encoder`.
    """
    encoder = {
        name.removeprefix("encoder."): tensor
        for name, tensor in state.items()
        if name.startswith("encoder.")
    }
    last = state.get("decoder.blocks.3.branch_b.0.weight")
    unet = UNet2D(*_encoder_size(encoder, source), None if last is None else len(last))
    load_strict(unet, state, source)
    return unet


def draw_unet(state: Mapping[str, Tensor], source: object, seed: int) -> UNet2D:
    """A UNet with the weights of an encoder, its decoder drawn as a pretraining's of this seed.

    Args:
        state: torchvision's name -> tensor.
        source: where they come from, for the error.
        seed: of the decoder.

    Raises:
        CheckpointError: as `load_encoder`.
    """
    encoder = load_encoder(state, source)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2D(*_encoder_size(state, source))
    unet.encoder.load_state_dict(encoder.state_dict())
    return unet


def load_pointwise(state: Mapping[str, Tensor], source: object) -> PlainHead:
    """A 1x1 convolution with these weights.

    Raises:
        CheckpointError: tensors that are missing or do not fit.
    """
    weight = state.get("weight")
    outputs, inputs = weight.shape[:2] if weight is not None and weight.ndim == 4 else (1, 1)
    head = PlainHead(inputs, outputs)
    load_strict(head, state, source)
    return head


def load_linear(state: Mapping[str, Tensor], source: object) -> nn.Linear:
    """A linear layer with these weights.

    Raises:
        CheckpointError: tensors that are missing or do not fit.
    """
    weight = state.get("weight")
    outputs, inputs = weight.shape if weight is not None and weight.ndim == 2 else (1, 1)
    linear = nn.Linear(inputs, outputs)
    load_strict(linear, state, source)
    return linear


def load_sparse(state: Mapping[str, Tensor], source: object) -> SparseUNet:
    """A 3D network with these weights.

    Raises:
        CheckpointError: tensors that are missing or do not fit.
    """
    stem, final = state.get("stem.convolution.weight"), state.get("final.weight")
    if stem is None or final is None or stem.ndim != 3 or final.ndim != 3:
        raise CheckpointError(
            f"{source}: its 3D network has no stem.convolution.weight and final.weight of 3 axes"
        )
    depth = len({name.split(".")[1] for name in state if name.startswith("up.")})
    stages = [f"down.{stage}.1" for stage in range(depth)]
    stages += [f"merge.{stage}" for stage in range(depth)]
    counts = [_count(state, f"{stage}.") for stage in stages]
    norms = [state.get(f"{stage}.0.second.norm.weight", ()) for stage in stages]
    net = SparseUNet(
        in_channels=stem.shape[1],
        out_channels=final.shape[2],
        planes=[max(1, len(norm)) for norm in norms] or [1, 1],
        blocks=[max(1, count) for count in counts] or [1, 1],
        stem_channels=stem.shape[2],
    )
    load_strict(net, state, source)
    return net


def _counters(module: nn.Module) -> dict[str, Tensor]:
    return {k: v for k, v in module.state_dict().items() if k.endswith(_COUNTER)}


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """Entries of a sequence: the different names after a prefix."""
    return len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})


def _encoder_size(state: Mapping[str, Tensor], source: object) -> tuple[str, float]:
    """Name and width of the ResNet that has as many blocks.

    Raises:
        CheckpointError: there is none.
    """
    depths = tuple(_count(state, f"{layer}.") for layer in LAYERS)
    is_deep = "layer1.0.conv3.weight" in state
    for name, (block, blocks) in ENCODERS.items():
        if blocks == depths and (block is Bottleneck) == is_deep and "conv1.weight" in state:
            return name, len(state["conv1.weight"]) / 64
    raise CheckpointError(
        f"{source}: no ResNet that is known here: {depths} blocks of "
        f"{'three' if is_deep else 'two'} convolutions{_without_stem(state)}; known: "
        f"{', '.join(f'{name} {blocks}' for name, (_, blocks) in ENCODERS.items())}"
    )


def _without_stem(state: Mapping[str, Tensor]) -> str:
    return "" if "conv1.weight" in state else ", without conv1.weight"
