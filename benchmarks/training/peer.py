"""The peer's training step, written from its description: one sample after the other.

Source: pri3d_family.md A.8, A.9 and C.4. Loading and matching are those of the loader's baseline.
Intrinsics are the sequence's own instead of ScanNet's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional

from benchmarks.geometry.peer_loader import (
    PeerView,
    Unique,
    draw,
    load_view,
    unique_keys,
    voxel_pixels,
    warp,
)

TEMPERATURE = 0.4

#: Matches of one sample: (pixel of a, pixel of b), then for each view (row of its chunk, pixel).
Matches = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Sample:
    """One frame pair, loaded."""

    a: PeerView
    b: PeerView

    @property
    def views(self) -> tuple[PeerView, PeerView]:
        """Both."""
        return self.a, self.b


def load(target: Path, a: int, b: int, unique: Unique = unique_keys) -> Sample:
    """Read both views; each reads and crops the scene's cloud again (A.9 item 2)."""
    return Sample(*(load_view(target, number, unique) for number in (a, b)))


def match(sample: Sample, n_matches: int) -> Matches:
    """Project all pixels and all voxels to draw some of them (A.8, A.9 item 3)."""
    a, b = sample.views
    pixels = warp(a.depth, a.pose, b.depth, b.pose, a.K)
    voxels = [voxel_pixels(v.coords, v.depth, v.K, v.pose) for v in sample.views]
    one, two, three = (draw(found, n_matches) for found in (pixels, *voxels))
    return one, two, three


def features_at(feature_map: torch.Tensor, pixel: torch.Tensor, width: int) -> torch.Tensor:
    """Features (N, D) of a map (D, H/2, W/2) at flat pixels: nearest at round((p - 0.5) / 2)."""
    v, u = (
        torch.round((p - 0.5) / 2).long()
        for p in (torch.div(pixel, width, rounding_mode="floor").double(), (pixel % width).double())
    )
    return feature_map[:, v, u].T


def info_nce(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy with the diagonal as target, of both directions (C.4)."""
    q, k = (x / x.norm(dim=1, keepdim=True) for x in (q, k))
    logits = q @ k.T / TEMPERATURE
    target = torch.arange(len(logits), device=logits.device)
    one_way = functional.cross_entropy(logits, target)
    return (one_way + functional.cross_entropy(logits.T, target)) / 2


def losses(
    maps: Sequence[tuple[torch.Tensor, torch.Tensor]],
    voxels: Sequence[tuple[torch.Tensor, torch.Tensor]],
    matches: Sequence[Matches],
    width: int,
) -> torch.Tensor:
    """VIEW plus GEO, the mean over the samples, by a loop over them (A.9 item 4).

    Args:
        maps: float (D, H/2, W/2) of each sample's two views.
        voxels: float (M, D), features of their chunks.
        matches: of each sample.
        width: of the images, pixels.
    """
    view, geo = [], []
    for pair, chunks, (pixels, *per_view) in zip(maps, voxels, matches, strict=True):
        a, b = (features_at(pair[i], pixels[:, i], width) for i in (0, 1))
        view.append(info_nce(a, b))
        both = [
            info_nce(features_at(each, found[:, 1], width), chunk[found[:, 0]])
            for each, chunk, found in zip(pair, chunks, per_view, strict=True)
        ]
        geo.append((both[0] + both[1]) / 2)
    return torch.stack(view).mean() + torch.stack(geo).mean()
