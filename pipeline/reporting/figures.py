"""Qualitative pictures of the frozen representations, like paper 000's Figures 3 and 4."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, UInt8
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from pipeline.atomic import atomic_path

#: Colour of pixels without depth. Source: paper 000, Figure 4 ("saturated blue").
INVALID_BLUE = (0, 0, 255)
MISSING_GREY = 225


def colour_depth(
    depth: Float[np.ndarray, "h w"], near_m: float, far_m: float
) -> UInt8[np.ndarray, "h w 3"]:
    """Depth as a picture: inferno from near to far, saturated blue where it is invalid.

    Args:
        depth: (H, W), metres; 0, negative or not finite is invalid.
        near_m: depth drawn darkest, metres.
        far_m: depth drawn brightest, metres.

    Returns:
        uint8 (H, W, 3), RGB.

    Source: paper 000, Figure 4.
    """
    valid = np.isfinite(depth) & (depth > 0)
    scaled = (np.where(valid, depth, near_m) - near_m) / max(far_m - near_m, 1e-6)
    picture = (colormaps["inferno"](np.clip(scaled, 0, 1))[..., :3] * 255).round().astype(np.uint8)
    picture[~valid] = INVALID_BLUE
    return picture


def depth_range(depth: Float[np.ndarray, "*shape"]) -> tuple[float, float]:
    """1st and 99th percentile of the valid depth, metres; (0, 1) if none is valid."""
    valid = depth[np.isfinite(depth) & (depth > 0)]
    if not valid.size:
        return 0.0, 1.0
    near, far = np.percentile(valid, [1, 99])
    return float(near), float(far)


def save_figure(figure: Figure, path: Path) -> None:
    """Save a matplotlib figure as PNG, atomically and with the same bytes on every run."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, facecolor="white", metadata={"Software": None})


def _grid(
    columns: Sequence[str],
    rows: Sequence[str],
    pictures: Sequence[Sequence[UInt8[np.ndarray, "_h _w 3"] | None]],
) -> Figure:
    """Figure of pictures with column titles on top and row labels at the left."""
    sizes = [picture.shape for line in pictures for picture in line if picture is not None]
    height, width = sizes[0][:2]
    cell = 1.75
    figure = Figure(
        figsize=(len(columns) * cell + 0.35, len(rows) * cell * height / width + 0.45),
        layout=ConstrainedLayoutEngine(w_pad=0.015, h_pad=0.015, wspace=0.0, hspace=0.0),
    )
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for i, line in enumerate(pictures):
        for j, picture in enumerate(line):
            axis = axes[i, j]
            axis.set(xticks=[], yticks=[])
            if picture is None:
                picture = np.full((height, width, 3), MISSING_GREY, np.uint8)
                axis.text(0.5, 0.5, "missing", ha="center", transform=axis.transAxes, fontsize=8)
            axis.imshow(picture, interpolation="nearest", aspect="equal")
            if i == 0:
                axis.set_title(columns[j], fontsize=8.5)
            if j == 0:
                axis.set_ylabel(rows[i], fontsize=6.5)
    return figure


def draw_reconstructions(
    path: Path,
    frames: Sequence[str],
    truth: UInt8[np.ndarray, "n h w 3"],
    predictions: Mapping[str, UInt8[np.ndarray, "n h w 3"] | None],
) -> None:
    """Rows = validation frames; columns = models and, rightmost, the input itself.

    Args:
        path: PNG to write.
        frames: N row labels.
        truth: uint8 (N, H, W, 3), RGB.
        predictions: column label -> uint8 (N, H, W, 3), RGB; None is drawn as missing.

    Source: paper 000, Figure 3.
    """
    pictures = [
        [None if p is None else p[i] for p in predictions.values()] + [truth[i]]
        for i in range(len(frames))
    ]
    save_figure(_grid([*predictions, "input"], frames, pictures), path)


def draw_depths(
    path: Path,
    frames: Sequence[str],
    image: UInt8[np.ndarray, "n h w 3"],
    truth: Float32[np.ndarray, "n h w"],
    predictions: Mapping[str, Float32[np.ndarray, "n h w"] | None],
) -> None:
    """Rows = validation frames; columns = input, models and, rightmost, the true depth.

    Each row has one colour scale, that of its truth; invalid depth is saturated blue.

    Args:
        path: PNG to write.
        frames: N row labels.
        image: uint8 (N, H, W, 3), RGB input.
        truth: float32 (N, H, W), metres, 0 invalid.
        predictions: column label -> float32 (N, H, W), metres; None is drawn as missing.

    Source: paper 000, Figure 4.
    """
    pictures: list[list[np.ndarray | None]] = []
    labels = []
    for i, frame in enumerate(frames):
        near, far = depth_range(truth[i])
        labels.append(f"{frame}\n{near:.1f} to {far:.1f} m")
        row = [
            # A model may predict depth <= 0, which is wrong but not invalid.
            None if p is None else colour_depth(np.maximum(p[i], near), near, far)
            for p in predictions.values()
        ]
        pictures.append([image[i], *row, colour_depth(truth[i], near, far)])
    save_figure(_grid(["input", *predictions, "ground truth"], labels, pictures), path)
