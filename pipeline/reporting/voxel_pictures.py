"""The PNGs of `inspect` that show a whole scene: its voxels from above and from the side."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64, Int, Int32
from matplotlib.figure import Figure

from pipeline.data.store import VoxelGrid
from pipeline.reporting.figures import save_figure
from pipeline.reporting.scene_views import (
    View,
    close_gaps,
    orthographic,
    section_views,
    segment_colours,
    up_axis,
)


def _bounds(
    view: View, points: Float[np.ndarray, "n 3"], margin_m: float
) -> tuple[float, float, float, float]:
    """Left, right, bottom, top of points in a view, metres."""
    sides = [sign * points[:, axis] for axis, sign in (view.right, view.up)]
    (left, right), (bottom, top) = (
        (float(side.min()) - margin_m, float(side.max()) + margin_m) for side in sides
    )
    return left, right, bottom, top


def _draw_sections(
    path: Path,
    voxels: VoxelGrid,
    poses: Float64[np.ndarray, "f 4 4"],
    columns: Mapping[str, Float[np.ndarray, "m _c"]],
    title: str,
) -> None:
    """Plan and side view of values of the voxels, one column each.

    Args:
        path: PNG to write.
        voxels: The voxels.
        poses: float64 (F, 4, 4), camera-to-world, in recording order.
        columns: title -> counts (M, 1), which get a colour bar, or RGB (M, 3) in [0, 1].
        title: line above all pictures.
    """
    xyz, centres = voxels.xyz_world, poses[:, :3, 3]
    half_m = 0.5 * float(np.ptp(xyz, axis=0).max() / max(np.ptp(voxels.coords, axis=0).max(), 1))
    views = section_views(xyz, centres, up_axis(poses[:, :3, :3]))
    everything = np.concatenate([xyz, centres])
    limits = {name: _bounds(view, everything, 2 * half_m) for name, view in views.items()}
    heights = [top - bottom for _, _, bottom, top in limits.values()]
    width = max(right - left for left, right, _, _ in limits.values())
    figure = Figure(
        figsize=(13, min(max(6 * sum(heights) / width, 4) + 1.6, 16)), layout="constrained"
    )
    figure.suptitle(f"{title}; cut open at the cameras, whose path is red", fontsize=10)
    axes = figure.subplots(2, len(columns), height_ratios=heights, squeeze=False)
    for line, (name, view) in zip(axes, views.items(), strict=True):
        for axis, (column, values) in zip(line, columns.items(), strict=True):
            picture = close_gaps(orthographic(voxels.coords, xyz, values, view))
            is_count = values.shape[1] == 1
            drawn = axis.imshow(
                np.ma.masked_invalid(picture[..., 0])
                if is_count
                else np.nan_to_num(picture, nan=1),
                cmap="viridis",
                vmin=0,
                vmax=max(float(np.percentile(values, 99.5)), 1.0),
                extent=_bounds(view, xyz, half_m),
                interpolation="nearest",
            )
            if is_count and axis is axes[0, 0]:
                figure.colorbar(drawn, ax=list(axes[:, 0]), location="left", shrink=0.6, pad=0.01)
            across, along = (sign * centres[:, axis] for axis, sign in (view.right, view.up))
            axis.plot(across, along, color="red", linewidth=0.8, marker="o", markersize=2.5)
            left, right, bottom, top = limits[name]
            axis.set(xlim=(left, right), ylim=(bottom, top), title=f"{name}: {column}")
            axis.title.set_fontsize(10)
            axis.set_xlabel(f"{'+' if view.right[1] > 0 else '-'}{'xyz'[view.right[0]]}, m")
            axis.set_ylabel(f"{'+' if view.up[1] > 0 else '-'}{'xyz'[view.up[0]]}, m")
    save_figure(figure, path)


def draw_voxels(
    path: Path,
    voxels: VoxelGrid,
    poses: Float64[np.ndarray, "f 4 4"],
    n_frames: Int[np.ndarray, " m"],
    title: str,
) -> None:
    """The voxels by the number of frames that see them, and in colour.

    Args:
        path: PNG to write.
        voxels: The voxels.
        poses: float64 (F, 4, 4), camera-to-world, in recording order.
        n_frames: (M,), frames that see each voxel.
        title: beginning of the line above.
    """
    columns = {
        "frames that see a voxel": n_frames[:, None].astype(np.float64),
        "colours": voxels.rgb / 255.0,
    }
    unseen = 100 * float((n_frames == 0).mean())
    text = (
        f"{title}: {len(n_frames)} voxels, {unseen:.0f} % matched in no frame; "
        f"the median voxel is seen by {np.median(n_frames):.0f}"
    )
    _draw_sections(path, voxels, poses, columns, text)


def draw_segments(
    path: Path,
    voxels: VoxelGrid,
    poses: Float64[np.ndarray, "f 4 4"],
    segment_id: Int32[np.ndarray, " m"],
    title: str,
) -> None:
    """The oversegmentation of the voxels, beside their colours.

    Args:
        path: PNG to write.
        voxels: The voxels.
        poses: float64 (F, 4, 4), camera-to-world, in recording order.
        segment_id: int32 (M,), -1 none, which is drawn grey.
        title: beginning of the line above.
    """
    known, n_voxels = np.unique(segment_id[segment_id >= 0], return_counts=True)
    columns = {"segments": segment_colours(segment_id) / 255.0, "colours": voxels.rgb / 255.0}
    text = f"{title}: {len(known)} segments of {len(segment_id)} voxels"
    if len(known):
        text += f", of the median size {np.median(n_voxels):.0f}, the largest {n_voxels.max()}"
    _draw_sections(path, voxels, poses, columns, text)
