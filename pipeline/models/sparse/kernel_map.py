"""Kernel maps: which occupied site meets which other under each kernel offset."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Int32, Int64
from torch import Tensor

from pipeline.models.sparse.products import CPU_BLOCK_ROWS, Rows

#: Rows of the input sites and, in parallel, of the output sites that they contribute to.
RowPairs = tuple[Tensor, Tensor]


class Block(NamedTuple):
    """Some of the pairs of one kernel offset: rows of the inputs and, in parallel, the outputs."""

    offset: int
    inputs: Rows
    outputs: Rows


@dataclass(frozen=True)
class KernelMap:
    """Pairs of input and output rows for every kernel offset, in MinkowskiEngine's order.

    Offset i stands for (x, y, z) = (i % k, i // k % k, i // k**2), from the kernel's first corner:
    x runs fastest. An output row occurs at most once per offset, so that adding one offset's
    contributions is deterministic on any device.

    Attributes:
        pairs: for each offset two int64 vectors (P,); None where input and output rows are the
            same (the centre of an odd kernel), so that nothing needs to be gathered.
        n_outputs: number of output sites.
        block_rows: pairs that are worked on at once.
    """

    pairs: tuple[RowPairs | None, ...]
    n_outputs: int
    block_rows: int = CPU_BLOCK_ROWS

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """All pairs, of each offset at most `block_rows` at once."""
        return tuple(self._blocks())

    def _blocks(self) -> Iterator[Block]:
        most = self.block_rows
        for offset, pair in enumerate(self.pairs):
            if pair is None:
                for start in range(0, self.n_outputs, most):
                    rows = slice(start, min(start + most, self.n_outputs))
                    yield Block(offset, rows, rows)
            elif len(pair[0]) > 0:
                for inputs, outputs in zip(pair[0].split(most), pair[1].split(most), strict=True):
                    yield Block(offset, inputs, outputs)

    def transposed(self, n_inputs: int) -> "KernelMap":
        """The map of the transposed convolution, back to this map's `n_inputs` input sites."""
        swapped = tuple(pair and (pair[1], pair[0]) for pair in self.pairs)
        return KernelMap(swapped, n_inputs, self.block_rows)


def _block_rows(coords: Tensor) -> int:
    """Caches count on a CPU; elsewhere the number of calls does."""
    return CPU_BLOCK_ROWS if coords.is_cpu else max(len(coords), 1)


def pack_keys(
    coords: Int32[Tensor, "n 4"], margin: int
) -> tuple[Int64[Tensor, " n"], tuple[int, int]]:
    """Number the cells of the sites' bounding box, batch slowest and z fastest.

    Args:
        coords: int32 (N, 4), batch, x, y, z; N at least 1.
        margin: empty cells kept between rows, so that a neighbour up to `margin` cells away
            never wraps to another row, plane or batch.

    Returns:
        The int64 keys (N,), and the steps of the key for one cell in x and in y.

    Raises:
        ValueError: the bounding box has more cells than int64 can number.
    """
    wide = coords.long()
    low = wide.amin(0)
    extent = (wide.amax(0) - low + 1 + margin).tolist()
    step_y, step_x, step_batch = extent[3], extent[3] * extent[2], extent[3] * extent[2] * extent[1]
    if step_batch * extent[0] >= 2**62:
        raise ValueError(f"sites span too many cells: {extent} (batch, x, y, z)")
    b, x, y, z = (wide - low).unbind(1)
    return b * step_batch + x * step_x + y * step_y + z, (step_x, step_y)


def check_unique(coords: Int32[Tensor, "n 4"]) -> None:
    """Raise ValueError, naming one of them, if two sites have the same coordinates."""
    if len(coords) == 0:
        return
    keys, order = pack_keys(coords, 0)[0].sort()
    equal = keys[1:] == keys[:-1]
    if equal.any():
        site = coords[order[equal.nonzero()[0, 0]]].tolist()
        raise ValueError(
            f"{int(equal.sum())} duplicate sites, one at (batch, x, y, z) = {tuple(site)}; "
            "merge the points of a voxel before the network"
        )


def neighbour_map(coords: Int32[Tensor, "n 4"], kernel_size: int) -> KernelMap:
    """Find every site's neighbours in a cube around it (odd kernel, stride 1).

    Keys are sorted once. Along z consecutive offsets have consecutive keys, so that one binary
    search serves a whole column of the kernel; opposite offsets have mirrored pairs, so that half
    of the columns suffice.

    Args:
        coords: int32 (N, 4), batch, x, y, z, without duplicates.
        kernel_size: edge of the cube in cells, odd.

    Returns:
        The map from the sites to themselves; the input is at the output's place plus the offset.
    """
    n_sites, radius = len(coords), kernel_size // 2
    offsets: list[RowPairs | None] = [None] * kernel_size**3
    if n_sites == 0:
        return KernelMap(tuple(offsets), 0)
    unsorted_keys, (step_x, step_y) = pack_keys(coords, radius)
    keys, order = unsorted_keys.sort()
    is_sorted = bool((unsorted_keys == keys).all())
    # A last key that equals no query stands in for "beyond the end".
    padded = torch.cat([keys, keys.new_full((1,), -(2**62))])
    steps = range(-radius, radius + 1)
    for dx, dy in itertools.product(steps, steps):
        if (dx, dy) < (0, 0):
            continue
        first = 1 if (dx, dy) == (0, 0) else -radius
        query = keys + (dx * step_x + dy * step_y + first)
        position = torch.searchsorted(keys, query)
        for dz in range(first, radius + 1):
            found = padded[position] == query
            outputs = found.nonzero()[:, 0]
            inputs = position[outputs]
            if not is_sorted:
                inputs, outputs = order[inputs], order[outputs]
            index = dx + radius + kernel_size * (dy + radius + kernel_size * (dz + radius))
            offsets[index] = (inputs, outputs)
            offsets[-1 - index] = (outputs, inputs)
            position = position + found
            query = query + 1
    return KernelMap(tuple(offsets), n_sites, _block_rows(coords))


def downsample_map(
    coords: Int32[Tensor, "n 4"],
) -> tuple[Int32[Tensor, "m 4"], KernelMap]:
    """Group sites into cells of 2x2x2 (kernel 2, stride 2).

    Args:
        coords: int32 (N, 4), batch, x, y, z, without duplicates.

    Returns:
        The occupied coarse sites int32 (M, 4), floor(xyz / 2), sorted by batch, x, y, z; and the
        map from the fine to the coarse sites.
    """
    coarse = torch.cat([coords[:, :1], coords[:, 1:] >> 1], dim=1)
    if len(coords) == 0:
        empty = coords.new_zeros(0, dtype=torch.int64)
        return coarse, KernelMap(((empty, empty),) * 8, 0)
    keys, parents = torch.unique(pack_keys(coarse, 0)[0], return_inverse=True)
    coarse_coords = coarse.new_empty(len(keys), 4)
    coarse_coords[parents] = coarse
    corner = ((coords[:, 1:] & 1) * coords.new_tensor([1, 2, 4])).sum(1)
    rows = [(corner == index).nonzero()[:, 0] for index in range(8)]
    pairs = tuple((row, parents[row]) for row in rows)
    return coarse_coords, KernelMap(pairs, len(keys), _block_rows(coords))
