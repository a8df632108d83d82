"""The sets that both views of a frame pair see, for a batch of pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int64

from pipeline.data.moving import Movable
from pipeline.data.scene_sets import FrameSets


@dataclass(frozen=True)
class MatchedSets(Movable):
    """The S sets (i, m, n) of paper 001's M_s; those in views a come first, then those in b.

    A cell's number is its row in the feature maps of the batch's 2B views one after another.

    Attributes:
        cell: int64 (M,), cells that show a set; the sets follow each other.
        share: float32 (M,), share of the set's pixels that fall on the cell; sums to 1 per set.
        first: int64 (2S,), where in `cell` each set begins.
        chosen: int64 (2S,), the cell of one pixel of each set, drawn from all its pixels.
        pair: int64 (S,), the set's pair, 0..B-1, ascending.
        identity: int64 (S,), equal for one set of one scene that several pairs see.
    """

    cell: Int64[torch.Tensor, " m"]
    share: Float32[torch.Tensor, " m"]
    first: Int64[torch.Tensor, " s2"]
    chosen: Int64[torch.Tensor, " s2"]
    pair: Int64[torch.Tensor, " s"]
    identity: Int64[torch.Tensor, " s"]


class SeenPair(NamedTuple):
    """One frame pair and what both of its views see.

    Attributes:
        scene: name.
        views: sets that a and b see.
        rows: of each view, the rows of its sets that the other sees as well, int64 (S,).
    """

    scene: str
    views: tuple[FrameSets, FrameSets]
    rows: tuple[Int64[np.ndarray, " s"], Int64[np.ndarray, " s"]]


def see_pair(scene: str, a: FrameSets, b: FrameSets, min_pixels: int) -> SeenPair:
    """Find the sets that both views of a pair see.

    Args:
        scene: Name.
        a: Sets that view a sees.
        b: Sets that view b sees.
        min_pixels: pixels that a set needs in both views.

    Source: paper 001 section 3.2; how many pixels make a set visible the paper does not say.
    """
    large = [np.flatnonzero(view.n_pixels >= min_pixels) for view in (a, b)]
    _, in_a, in_b = np.intersect1d(
        a.set_id[large[0]], b.set_id[large[1]], assume_unique=True, return_indices=True
    )
    return SeenPair(scene, (a, b), (large[0][in_a], large[1][in_b]))


def match_sets(pairs: Sequence[SeenPair], n_cells: int, rng: np.random.Generator) -> MatchedSets:
    """Number the sets and cells of a batch.

    Args:
        pairs: B pairs.
        n_cells: cells of a view's feature map.
        rng: Draws `chosen`.
    """
    cells, shares, sizes, chosen = [], [], [], []
    for view in (0, 1):
        for number, pair in enumerate(pairs):
            sets, rows = pair.views[view], pair.rows[view]
            offset = (view * len(pairs) + number) * n_cells
            size = sets.first[rows + 1] - sets.first[rows]
            entry = _ranges(sets.first[rows], size)
            cells.append(offset + sets.cell[entry].astype(np.int64))
            shares.append(sets.count[entry] / np.repeat(sets.n_pixels[rows], size))
            sizes.append(size)
            # A pixel of all the pixels, so that a cell is as likely as it is full.
            end = np.cumsum(sets.count)
            before = end[sets.first[rows]] - sets.count[sets.first[rows]]
            drawn = before + rng.integers(sets.n_pixels[rows])
            chosen.append(offset + sets.cell[np.searchsorted(end, drawn, "right")].astype(np.int64))
    n_sets = [len(pair.rows[0]) for pair in pairs]
    scenes = np.unique([pair.scene for pair in pairs], return_inverse=True)[1]
    ids = np.concatenate([pair.views[0].set_id[pair.rows[0]] for pair in pairs]).astype(np.int64)
    size = np.concatenate(sizes)
    return MatchedSets(
        cell=torch.from_numpy(np.concatenate(cells)),
        share=torch.from_numpy(np.concatenate(shares).astype(np.float32)),
        first=torch.from_numpy(np.cumsum(size) - size),
        chosen=torch.from_numpy(np.concatenate(chosen)),
        pair=torch.from_numpy(np.repeat(np.arange(len(pairs)), n_sets)),
        identity=torch.from_numpy((np.repeat(scenes, n_sets) << 32) + ids),
    )


def _ranges(
    first: Int64[np.ndarray, " s"], size: Int64[np.ndarray, " s"]
) -> Int64[np.ndarray, " m"]:
    """first[0], first[0] + 1, ... (size[0] numbers), first[1], ..."""
    start = np.cumsum(size) - size
    return np.repeat(first - start, size) + np.arange(int(size.sum()))
