"""How networks compute: device, precision, memory layout and compilation."""

from collections.abc import Iterator
from types import MethodType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pipeline.config import Compute
from pipeline.models.resnet import ResNet
from pipeline.models.segmentation.base import SegmentationNetwork
from pipeline.models.sparse_unet import SparseUNet
from pipeline.models.unet import Decoder
from pipeline.training.optimisation import TrainingError

Network = TypeVar("Network", bound=nn.Module)

#: Parts of the 2D networks that hold nearly all of their work; heads on them stay as they are.
_PLANAR = (SegmentationNetwork, ResNet, Decoder)


def place(network: Network, compute: Compute, device: torch.device) -> Network:
    """Make a network compute as the params say; names and dtypes of its tensors stay the same.

    Args:
        network: Changed in place; it may be copied afterwards, too.
        compute: In bf16 the encoders, decoders, segmentation and sparse networks take their inputs
            and weights in bf16 and return float32, so that heads, losses, statistics and weights
            are float32. Compiled are the 2D ones.
        device: Where it computes.

    Raises:
        TrainingError: there is nothing that compiles, or a library that has no bf16.
    """
    network = network.to(device)
    if compute.channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if compute.compile:
        check_compiler(device)
    for part in _parts(network):
        if compute.precision == "bf16":
            _use_bf16(part)
        if compute.compile and isinstance(part, _PLANAR):
            part.compile()
    return network


def _parts(network: nn.Module) -> Iterator[nn.Module]:
    """The outermost modules that hold the work."""
    if isinstance(network, (*_PLANAR, SparseUNet)):
        yield network
        return
    for child in network.children():
        yield from _parts(child)


def _use_bf16(part: nn.Module) -> None:
    if isinstance(part, SparseUNet) and part.settings["backend"] != "torch":
        raise TrainingError(
            f"sparse backend {part.settings['backend']!r} does not compute in bf16; set "
            "model.sparse_backend to torch, or compute.precision to float32"
        )
    # A bound method, since copy.deepcopy binds it to the copy.
    part.forward = MethodType(_forward_in_bf16, part)


def _forward_in_bf16(part: nn.Module, *inputs: Any) -> Any:
    parameter = next(part.parameters())
    with torch.autocast(parameter.device.type, torch.bfloat16):
        outputs = type(part).forward(part, *_cast(inputs, torch.bfloat16))
    return _cast(outputs, torch.float32)


def _cast(value: Any, dtype: torch.dtype) -> Any:
    """Floating-point tensors in another dtype, also those in a list or tuple."""
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, list | tuple):
        return type(value)(_cast(each, dtype) for each in value)
    return value


def check_compiler(device: torch.device) -> None:
    """Compile something small, since torch.compile needs what torch does not bring.

    Args:
        device: On which compiled networks will run.

    Raises:
        TrainingError: it cannot; on a CPU it takes a C++ compiler, on a GPU Triton too.
    """
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(8, device=device))
    except Exception as error:  # whatever is missing has an exception of its own
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise TrainingError(
            f"compute.compile: torch.compile does not work here ({reason[0]}); install a C++ "
            "compiler (Debian: g++), for a GPU Triton too, or set compute.compile to false"
        ) from error
