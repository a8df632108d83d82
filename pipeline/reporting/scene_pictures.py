"""The PNGs of `inspect` that show frames: matched pixels of a pair, one frame, all overlaps."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Int32, UInt8
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from pipeline.data.scene_sets import SetPixels
from pipeline.data.store import StoredFrame
from pipeline.geometry.camera import valid_depth
from pipeline.reporting.figures import colour_depth, depth_range, save_figure
from pipeline.reporting.scene_views import (
    distinct_colours,
    overlay_distances,
    overlay_segments,
    spread_points,
)

#: A matrix of overlaps has at most so many labels a side.
_MAX_TICKS = 12


def draw_pair(
    path: Path,
    images: tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]],
    pixels: tuple[Int32[np.ndarray, " n"], Int32[np.ndarray, " n"]],
    title: str,
    n_lines: int = 40,
) -> None:
    """Two frames side by side, a few dozen of their matched pixels joined by coloured lines.

    Args:
        path: PNG to write.
        images: frames a and b, uint8 (H, W, 3), RGB.
        pixels: matched pixels of a and b, int32 (N,), flat indices.
        title: line above the pictures.
        n_lines: matches drawn, spread over frame a.
    """
    height, width = images[0].shape[:2]
    uv_a, uv_b = (np.stack([pixel % width, pixel // width], axis=1) for pixel in pixels)
    shown = spread_points(uv_a, n_lines)
    gap_px, margin_px = width // 60 + 1, 1 + width / 80  # room for the dots at the borders
    gap = np.full((height, gap_px, 3), 255, np.uint8)
    sides = (2 * width + gap_px + 2 * margin_px, height + 2 * margin_px)
    figure = Figure(figsize=(12, 12 * sides[1] / sides[0] + 0.3), layout="constrained")
    axis = figure.subplots()
    axis.imshow(np.concatenate([images[0], gap, images[1]], axis=1), interpolation="nearest")
    axis.set_axis_off()
    axis.set_title(title, fontsize=10)
    for (u_a, v_a), (u_b, v_b), colour in zip(
        uv_a[shown], uv_b[shown], distinct_colours(len(shown)) / 255, strict=True
    ):
        ends = ([u_a, u_b + width + gap_px], [v_a, v_b])
        axis.plot(*ends, color=colour, linewidth=0.9, alpha=0.85)
        axis.scatter(*ends, s=34, color=[colour], edgecolors="black", linewidths=0.8, zorder=3)
    axis.set(xlim=(-margin_px, sides[0] - margin_px), ylim=(sides[1] - margin_px, -margin_px))
    save_figure(figure, path)


def draw_sets(
    path: Path,
    images: tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]],
    sets: tuple[SetPixels, SetPixels],
    title: str,
) -> None:
    """Two frames side by side with the sets that both see, one colour a set; grey is no such set.

    Args:
        path: PNG to write.
        images: frames a and b, uint8 (H, W, 3), RGB.
        sets: of a and b, flat pixels and the set of each, numbered as one, -1 none.
        title: line above the pictures.
    """
    height, width = images[0].shape[:2]
    figure = Figure(figsize=(12, 6 * height / width + 0.3), layout="constrained")
    for axis, image, shown in zip(figure.subplots(1, 2), images, sets, strict=True):
        axis.imshow(overlay_segments(image, *shown), interpolation="nearest")
        axis.set_axis_off()
    figure.suptitle(title, fontsize=10)
    save_figure(figure, path)


def draw_frame(
    path: Path,
    frame: StoredFrame,
    matches: tuple[Int32[np.ndarray, " n"], UInt8[np.ndarray, " n"]],
    radius_m: float,
    overlays: Mapping[str, SetPixels],
    title: str,
) -> None:
    """A frame as panels: colour, depth, its matches with voxels, and what is laid over it.

    Args:
        path: PNG to write.
        frame: The frame.
        matches: flat pixels, int32 (N,), and their distances to the voxels, uint8 (N,), mm.
        radius_m: largest distance of a match, metres.
        overlays: panel title -> flat pixels, and the set of each, -1 none.
        title: line above all panels.
    """
    pixel, distance_mm = matches
    is_valid = valid_depth(frame.depth)
    near_m, far_m = depth_range(frame.depth)
    n_matched, n_valid = len(np.unique(pixel)), int(is_valid.sum())
    matched = f"voxel matches of {n_matched} of {n_valid} pixels"
    if len(pixel):
        matched += f", median {np.median(distance_mm):.0f} mm"
    panels = {
        "colour": frame.color,
        f"depth; {100 * (1 - is_valid.mean()):.0f} % without": colour_depth(
            frame.depth, near_m, far_m
        ),
        matched: overlay_distances(frame.color, ~is_valid, pixel, distance_mm / (1000 * radius_m)),
    } | {name: overlay_segments(frame.color, *shown) for name, shown in overlays.items()}
    scales = {
        1: (ScalarMappable(Normalize(near_m, far_m), "inferno"), "m"),
        2: (ScalarMappable(Normalize(0, 1000 * radius_m), "viridis"), "mm"),
    }
    height, width = frame.depth.shape
    n_columns = 2 if len(panels) == 4 else 3
    n_rows = -(-len(panels) // n_columns)
    figure = Figure(
        figsize=(5.2 * n_columns, (4.9 * height / width + 0.3) * n_rows + 0.3), layout="constrained"
    )
    figure.suptitle(title, fontsize=11)
    axes = list(figure.subplots(n_rows, n_columns, squeeze=False).flat)
    for axis in axes:
        axis.set_axis_off()
    for i, (axis, (name, picture)) in enumerate(zip(axes, panels.items(), strict=False)):
        axis.imshow(picture, interpolation="nearest")
        axis.set_title(name, fontsize=10)
        if i in scales:
            scale, unit = scales[i]
            figure.colorbar(scale, cax=axis.inset_axes((1.01, 0, 0.03, 1)), label=unit)
    save_figure(figure, path)


def _ticks(frame_ids: Int[np.ndarray, " f"]) -> tuple[Float[np.ndarray, " t"], list[int]]:
    """Places and labels on an axis of frames: every frame if they are few, else round numbers."""
    places = np.arange(len(frame_ids), dtype=np.float64)
    if len(frame_ids) <= _MAX_TICKS:
        return places, frame_ids.tolist()
    first, last = int(frame_ids[0]), int(frame_ids[-1])
    steps = (factor * 10**power for power in range(10) for factor in (1, 2, 5))
    step = next(step for step in steps if last - first < step * _MAX_TICKS)
    labels = list(range(-(-first // step) * step, last + 1, step))
    return np.interp(labels, frame_ids, places), labels


def draw_overlaps(
    path: Path,
    frame_ids: Int[np.ndarray, " f"],
    directed: Float[np.ndarray, "f f"],
    min_overlap: float,
    title: str,
) -> None:
    """Matrix of directed overlaps and the histogram of what decides about a pair.

    Args:
        path: PNG to write.
        frame_ids: (F,), frames in order.
        directed: (F, F), [i, j] = share of j's points near i's surface; NaN unknown.
        min_overlap: pairs from here on are trained on.
        title: line above both.
    """
    overlap = np.maximum(directed, directed.T)[np.triu_indices(len(frame_ids), 1)]
    overlap = overlap[~np.isnan(overlap)]
    figure = Figure(figsize=(12, 5.4), layout="constrained")
    figure.suptitle(title, fontsize=11)
    left, right = figure.subplots(1, 2)
    drawn = left.imshow(np.ma.masked_invalid(directed), cmap="magma", vmin=0, vmax=1)
    places, labels = _ticks(frame_ids)
    left.set_xticks(places, labels, rotation=45 if labels[-1] > 999 else 0)
    left.set_yticks(places, labels)
    left.set(xlabel="frame b", ylabel="frame a", title="share of b's points near a's surface")
    figure.colorbar(drawn, ax=left)
    kept = int((overlap >= np.float32(min_overlap)).sum())
    right.hist(overlap, bins=np.linspace(0, 1, 21).tolist(), color="steelblue", edgecolor="white")
    right.axvline(min_overlap, color="red", label=f"kept from {min_overlap:g} on")
    right.set(xlabel="overlap (max of both directions)", ylabel="frame pairs")
    right.set_title(f"{kept} of {len(overlap)} pairs kept")
    right.legend()
    save_figure(figure, path)
