"""Sparse convolution in plain torch."""

from typing import Any

import torch
from jaxtyping import Float, Int32
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipeline.models.sparse.kernel_map import (
    KernelMap,
    check_unique,
    downsample_map,
    neighbour_map,
)
from pipeline.models.sparse.products import add_rows, add_transposed_product, gather, multiply
from pipeline.models.sparse.sites import Sites


class _Convolution(torch.autograd.Function):
    """Gather, multiply and add for each block of pairs; nothing gathered is kept for backward.

    Half precision is for the products alone: sums are float32, rounded once at the end.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
        features = features.contiguous()
        ctx.save_for_backward(features, weight)
        ctx.kernel_map = kernel_map
        matrices, work = weight.unbind(), weight[0].numel()
        output = _zeros_for_sums(features, kernel_map.n_outputs, weight.shape[2])
        for offset, inputs, outputs in kernel_map.blocks:
            add_rows(output, outputs, multiply(gather(features, inputs, work), matrices[offset]))
        return output.to(features.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        features, weight = ctx.saved_tensors
        gradient, matrices, work = gradient.contiguous(), weight.unbind(), weight[0].numel()
        needs_features, needs_weight, _ = ctx.needs_input_grad
        to_features = _zeros_for_sums(features, *features.shape) if needs_features else None
        to_weight = _zeros_for_sums(weight, *weight.shape) if needs_weight else None
        to_matrices = () if to_weight is None else to_weight.unbind()
        for offset, inputs, outputs in ctx.kernel_map.blocks:
            received = gather(gradient, outputs, work)
            if needs_weight:
                gathered = gather(features, inputs, work)
                add_transposed_product(to_matrices[offset], gathered, received)
            if to_features is not None:
                add_rows(to_features, inputs, multiply(received, matrices[offset].T))
        return (
            None if to_features is None else to_features.to(features.dtype),
            None if to_weight is None else to_weight.to(weight.dtype),
            None,
        )


def _convolve(features: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
    """Apply the function, under autocast in its precision."""
    device = features.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        features, weight = features.to(dtype), weight.to(dtype)
    return _Convolution.apply(features, weight, kernel_map)


def _zeros_for_sums(like: Tensor, *shape: int) -> Tensor:
    return like.new_zeros(shape, dtype=torch.promote_types(like.dtype, torch.float32))


class TorchSites(Sites):
    """Sparse convolution in plain torch, on any device.

    Kernel maps are made when first needed and shared by all layers of a stride.

    Source: spec dependencies.md (sorted keys, binary search, one product per kernel offset; its
        blocks and oneDNN are our own, see `products`).
    """

    def __init__(self, coords: Int32[Tensor, "n 4"]):
        check_unique(coords)
        self._coords = {1: coords}
        self._neighbours: dict[tuple[int, int], KernelMap] = {}
        self._downsampling: dict[int, KernelMap] = {}

    @classmethod
    def check_installed(cls) -> None:
        """See `Sites.check_installed`; torch always is."""

    def convolve(
        self,
        features: Float[Tensor, "n inputs"],
        weight: Float[Tensor, "k inputs outputs"],
        stride: int,
    ) -> Float[Tensor, "n outputs"]:
        """See `Sites.convolve`."""
        kernel_size = round(len(weight) ** (1 / 3))
        key = (stride, kernel_size)
        if key not in self._neighbours:
            self._neighbours[key] = neighbour_map(self._coords[stride], kernel_size)
        return _convolve(features, weight, self._neighbours[key])

    def downsample(
        self,
        features: Float[Tensor, "n inputs"],
        weight: Float[Tensor, "8 inputs outputs"],
        stride: int,
    ) -> Float[Tensor, "m outputs"]:
        """See `Sites.downsample`."""
        if stride not in self._downsampling:
            coarse, kernel_map = downsample_map(self._coords[stride])
            self._coords[2 * stride], self._downsampling[stride] = coarse, kernel_map
        return _convolve(features, weight, self._downsampling[stride])

    def upsample(
        self,
        features: Float[Tensor, "m inputs"],
        weight: Float[Tensor, "8 inputs outputs"],
        stride: int,
    ) -> Float[Tensor, "n outputs"]:
        """See `Sites.upsample`."""
        fine = stride // 2
        kernel_map = self._downsampling[fine].transposed(len(self._coords[fine]))
        return _convolve(features, weight, kernel_map)
