"""The PNGs of `inspect`: matched pixels, segments, voxels, overlaps."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Float64, Int, Int32, UInt8
from matplotlib.figure import Figure

from pipeline.reporting.figures import save_figure
from pipeline.reporting.scene_views import (
    View,
    close_gaps,
    distinct_colours,
    orthographic,
    overlay_segments,
    section_views,
    spread_points,
)


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
    gap_px = width // 60 + 1
    gap = np.full((height, gap_px, 3), 255, np.uint8)
    figure = Figure(figsize=(12, 12 * height / (2 * width + gap_px) + 0.3), layout="constrained")
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
    save_figure(figure, path)


def draw_segments(
    path: Path,
    image: UInt8[np.ndarray, "h w 3"],
    segments: Mapping[str, tuple[Int32[np.ndarray, " _n"], Int32[np.ndarray, " _n"]]],
    title: str,
) -> None:
    """A frame, and beside it the oversegmentations laid over it.

    Args:
        path: PNG to write.
        image: uint8 (H, W, 3), RGB.
        segments: panel title -> (flat pixel indices, segment of each); -1 none.
        title: line above the frame itself.
    """
    height, width = image.shape[:2]
    panels = {f"{title} (grey beside: no voxel matched)": image} | {
        name: overlay_segments(image, pixel, segment) for name, (pixel, segment) in segments.items()
    }
    n_columns = min(len(panels), 3)
    n_rows = -(-len(panels) // n_columns)
    figure = Figure(
        figsize=(5.2 * n_columns, (5.2 * height / width + 0.3) * n_rows), layout="constrained"
    )
    axes = list(figure.subplots(n_rows, n_columns, squeeze=False).flat)
    for axis in axes:
        axis.set_axis_off()
    for axis, (name, picture) in zip(axes, panels.items(), strict=False):
        axis.imshow(picture, interpolation="nearest")
        axis.set_title(name, fontsize=10)
    save_figure(figure, path)


def _bounds(
    view: View, xyz: Float32[np.ndarray, "m 3"], others: Float[np.ndarray, "f 3"]
) -> tuple[float, float, float, float]:
    """Left, right, bottom, top of all points in a view, metres."""
    sides = [
        sign * np.concatenate([xyz[:, axis], others[:, axis]])
        for axis, sign in (view.right, view.up)
    ]
    return tuple(float(bound) for side in sides for bound in (side.min(), side.max()))  # type: ignore[return-value]


def draw_voxels(
    path: Path,
    coords: Int32[np.ndarray, "m 3"],
    xyz: Float32[np.ndarray, "m 3"],
    rgb: UInt8[np.ndarray, "m 3"],
    n_frames: Int[np.ndarray, " m"],
    centres: Float64[np.ndarray, "f 3"],
    vertical: tuple[int, int],
) -> None:
    """Plan and side view of the voxels: by the number of frames that see them, and in colour.

    Args:
        path: PNG to write.
        coords: int32 (M, 3), grid cells.
        xyz: float32 (M, 3), metres, voxel centres, world.
        rgb: uint8 (M, 3), voxel colours.
        n_frames: (M,), frames that see each voxel.
        centres: float64 (F, 3), metres, camera centres in recording order, world.
        vertical: world axis that points up, and its sign.
    """
    views = section_views(xyz, centres, vertical)
    bounds = {name: _bounds(view, xyz, centres) for name, view in views.items()}
    heights = [top - bottom for _, _, bottom, top in bounds.values()]
    width = max(right - left for left, right, _, _ in bounds.values())
    figure = Figure(
        figsize=(13, min(max(6 * sum(heights) / width, 4) + 1.6, 16)), layout="constrained"
    )
    axes = figure.subplots(2, 2, height_ratios=heights)
    limit = max(float(np.percentile(n_frames, 99.5)), 1.0)
    half_m = 0.5 * float(np.ptp(xyz, axis=0).max() / max(np.ptp(coords, axis=0).max(), 1))
    for line, (name, view) in zip(axes, views.items(), strict=True):
        left, right, bottom, top = _bounds(view, xyz, xyz)
        extent = (left - half_m, right + half_m, bottom - half_m, top + half_m)
        counts = orthographic(coords, xyz, n_frames[:, None].astype(np.float64), view)
        colours = orthographic(coords, xyz, rgb / 255.0, view)
        counted = line[0].imshow(
            np.ma.masked_invalid(close_gaps(counts)[..., 0]),
            cmap="viridis",
            vmin=0,
            vmax=limit,
            extent=extent,
            interpolation="nearest",
        )
        line[1].imshow(
            np.nan_to_num(close_gaps(colours), nan=1.0), extent=extent, interpolation="nearest"
        )
        line[0].set_title(f"{name}: frames that see a voxel", fontsize=10)
        line[1].set_title(f"{name}: colours, and the cameras' path in red", fontsize=10)
        across, along = (sign * centres[:, axis] for axis, sign in (view.right, view.up))
        line[1].plot(across, along, color="red", linewidth=0.8, marker="o", markersize=2.5)
        margin = 0.02 * width
        left, right, bottom, top = bounds[name]
        for axis in line:
            axis.set_xlim(left - margin, right + margin)
            axis.set_ylim(bottom - margin, top + margin)
            axis.set_xlabel(f"{'+' if view.right[1] > 0 else '-'}{'xyz'[view.right[0]]}, m")
            axis.set_ylabel(f"{'+' if view.up[1] > 0 else '-'}{'xyz'[view.up[0]]}, m")
    figure.colorbar(counted, ax=list(axes.flat), shrink=0.6, pad=0.01, label="frames")
    unseen = float((n_frames == 0).mean())
    figure.suptitle(
        f"{len(xyz)} voxels, {100 * unseen:.0f} % matched in no frame, "
        f"median {np.median(n_frames):.0f} frames; cut open at the cameras",
        fontsize=10,
    )
    save_figure(figure, path)


def draw_overlaps(
    path: Path,
    frame_ids: Int[np.ndarray, " f"],
    directed: Float[np.ndarray, "f f"],
    overlap: Float[np.ndarray, " p"],
    min_overlap: float,
) -> None:
    """Matrix of directed overlaps and the histogram of what decides about a pair.

    Args:
        path: PNG to write.
        frame_ids: (F,), frames in order.
        directed: (F, F), [i, j] = share of j's points near i's surface; NaN unknown.
        overlap: (P,), max of both directions, of every pair.
        min_overlap: pairs from here on are trained on.
    """
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    drawn = left.imshow(np.ma.masked_invalid(directed), cmap="magma", vmin=0, vmax=1)
    ticks = np.unique(np.linspace(0, max(len(frame_ids) - 1, 0), 9).astype(int))
    left.set_xticks(ticks, frame_ids[ticks])
    left.set_yticks(ticks, frame_ids[ticks])
    left.set(xlabel="frame b", ylabel="frame a", title="share of b's points near a's surface")
    figure.colorbar(drawn, ax=left)
    kept = int((overlap >= np.float32(min_overlap)).sum())
    right.hist(overlap, bins=np.linspace(0, 1, 21).tolist(), color="steelblue", edgecolor="white")
    right.axvline(min_overlap, color="red", label=f"kept from {min_overlap:g} on")
    right.set(xlabel="overlap (max of both directions)", ylabel="frame pairs")
    right.set_title(f"{kept} of {len(overlap)} pairs kept")
    right.legend()
    save_figure(figure, path)
