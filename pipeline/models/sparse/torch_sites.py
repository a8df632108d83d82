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
from pipeline.models.sparse.sites import Sites


class _Convolution(torch.autograd.Function):
    """Gather, multiply and add for each kernel offset; nothing gathered is kept for backward."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.kernel_map = kernel_map
        output = features.new_zeros(kernel_map.n_outputs, weight.shape[2])
        for pair, matrix in zip(kernel_map.pairs, weight, strict=True):
            if pair is None:
                output.addmm_(features, matrix)
            else:
                inputs, outputs = pair
                output.index_add_(0, outputs, features.index_select(0, inputs) @ matrix)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        features, weight = ctx.saved_tensors
        needs_features, needs_weight, _ = ctx.needs_input_grad
        to_features = torch.zeros_like(features) if needs_features else None
        to_weight = torch.empty_like(weight) if needs_weight else None
        for index, pair in enumerate(ctx.kernel_map.pairs):
            gathered = features if pair is None else features.index_select(0, pair[0])
            received = gradient if pair is None else gradient.index_select(0, pair[1])
            if to_weight is not None:
                torch.mm(gathered.T, received, out=to_weight[index])
            if to_features is not None and pair is None:
                to_features.addmm_(received, weight[index].T)
            elif to_features is not None:
                to_features.index_add_(0, pair[0], received @ weight[index].T)
        return to_features, to_weight, None


class TorchSites(Sites):
    """Sparse convolution in plain torch, on any device.

    Kernel maps are made when first needed and shared by all layers of a stride.

    Source: spec dependencies.md (sorted keys, binary search, one product per kernel offset).
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
        return _Convolution.apply(features, weight, self._neighbours[key])

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
        return _Convolution.apply(features, weight, self._downsampling[stride])

    def upsample(
        self,
        features: Float[Tensor, "m inputs"],
        weight: Float[Tensor, "8 inputs outputs"],
        stride: int,
    ) -> Float[Tensor, "n outputs"]:
        """See `Sites.upsample`."""
        fine = stride // 2
        kernel_map = self._downsampling[fine].transposed(len(self._coords[fine]))
        return _Convolution.apply(features, weight, kernel_map)
