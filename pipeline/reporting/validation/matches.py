"""Invariants of the correspondences: each is a match by its definition, and none is missing.

The definitions are computed anew, from the stored depth, poses and voxels, without the compiled
code that made the table.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int32, UInt8
from scipy.spatial import cKDTree

from pipeline.geometry.camera import invert_pose, project, transform, valid_depth
from pipeline.reporting.validation.findings import Findings, repeated
from pipeline.reporting.validation.scene import StoredScene, frame_groups
from pipeline.reporting.validation.values import StoredVoxels, View, positive

#: What two ways to compute a length may differ by, metres; and a pixel coordinate, pixels.
EPSILON_M = 1e-6
_EPSILON_PX = 1e-6


@dataclass(frozen=True)
class _Matches:
    """The rows of one frame."""

    pixel: Int32[np.ndarray, " n"]
    voxel_index: Int32[np.ndarray, " n"]
    distance_mm: UInt8[np.ndarray, " n"]


def check_correspondences(scene: StoredScene, found: Findings) -> None:
    """Rows are sorted, in range, matches by the definition of the mode, and complete."""
    make = scene.setting("correspondences", "matching_mode", _DEFINITIONS.__getitem__)
    definition = make(scene)
    for frame_id, table in frame_groups(scene, "correspondences", found):
        if frame_id in scene.usable:
            _check_frame(scene, definition, frame_id, table, found)
        else:
            found.add(f"frame {frame_id}", "is not a usable frame of frames.parquet")
    nothing = scene.table("correspondences").schema_arrow.empty_table()
    for frame_id in scene.usable.keys() - scene.frames_with_matches.keys():
        _check_frame(scene, definition, frame_id, nothing, found)


def _check_frame(
    scene: StoredScene,
    definition: "_Strict | _Pri3d",
    frame_id: int,
    table: pa.Table,
    found: Findings,
) -> None:
    view, where = scene.view(frame_id), f"frame {frame_id}"
    if view is None:
        return
    columns = [table[name].to_numpy() for name in ("pixel", "voxel_index", "distance_mm")]
    matches = _Matches(*columns)
    pixel, voxel = matches.pixel, matches.voxel_index
    n_pixels, n_voxels = view.depth.size, len(scene.voxels)
    is_outside = (pixel < 0) | (pixel >= n_pixels)
    in_range = found.rows(where, is_outside, f"pixel must be in 0..{n_pixels - 1}", pixel)
    is_outside = (voxel < 0) | (voxel >= n_voxels)
    what = f"voxel_index must be in 0..{n_voxels - 1}"
    in_range &= found.rows(where, is_outside, what, voxel)
    if in_range:
        definition.check(view, matches, where, found)


def _check_distance(
    distance_m: Float64[np.ndarray, " n"], matches: _Matches, where: str, found: Findings
) -> None:
    # Half a millimetre of rounding, and that of float32 before it.
    is_wrong = np.abs(distance_m * 1000 - matches.distance_mm) > 0.501
    found.rows(where, is_wrong, "distance_mm must be the distance", matches.distance_mm)


class _Strict:
    """Pixels with depth and the nearest voxel centre, if it is within the radius."""

    def __init__(self, scene: StoredScene) -> None:
        self.radius_m = scene.setting("correspondences", "radius_m", positive)
        voxels = scene.voxels
        self.centres = voxels.grid_origin + (voxels.coords + 0.5) * voxels.voxel_size_m
        self.tree = cKDTree(self.centres)

    def check(self, view: View, matches: _Matches, where: str, found: Findings) -> None:
        """Compare one frame's matches with the definition."""
        pixel, radius = matches.pixel, self.radius_m
        is_sorted = np.diff(pixel, prepend=-1) > 0
        found.rows(where, ~is_sorted, "pixel must ascend, one row each", pixel)
        every = np.arange(view.depth.size, dtype=np.int32)
        points = transform(view.T_world_camera, view.camera_points(every))
        has_depth = np.isfinite(points).all(axis=1)
        distance = np.linalg.norm(points[pixel] - self.centres[matches.voxel_index], axis=1)
        what = f"the pixel's point must be within {radius:g} m of the voxel's centre"
        if not found.rows(where, ~(distance <= radius + EPSILON_M), what, distance):
            return
        _check_distance(distance, matches, where, found)

        nearest = np.full(view.depth.size, np.inf)
        nearest[has_depth], _ = self.tree.query(
            points[has_depth], distance_upper_bound=radius + EPSILON_M
        )
        is_farther = distance > nearest[pixel] + EPSILON_M
        what = "voxel_index must be the nearest voxel"
        found.rows(where, is_farther, what, matches.voxel_index)
        is_due = nearest < radius - EPSILON_M
        is_due[pixel] = False
        if is_due.any():
            n, first = np.count_nonzero(is_due), int(is_due.argmax())
            found.add(where, f"{n} pixels with a voxel within reach have no row, first {first}")


class _Pri3d:
    """Voxels in front of the camera, and the pixel that each falls on, if their depths agree.

    Source: pri3d_family.md A.8: voxels at the corner nearer the world's origin, pixels truncated.
    """

    def __init__(self, scene: StoredScene) -> None:
        self.tolerance_m = scene.setting("correspondences", "pri3d_voxel_z_m", positive)
        self.corners = _truncated_places(scene.voxels)

    def check(self, view: View, matches: _Matches, where: str, found: Findings) -> None:
        """Compare one frame's matches with the definition."""
        pixel, voxel = matches.pixel, matches.voxel_index
        found.rows(where, np.diff(pixel, prepend=-1) < 0, "pixel must ascend", pixel)
        found.rows(where, repeated(voxel), "voxel_index must not repeat", voxel)
        points = transform(invert_pose(view.T_world_camera), self.corners)
        difference = depth_difference(view, points[voxel], pixel)
        what = f"the voxel must fall on the pixel, their depths within {self.tolerance_m:g} m"
        is_wrong = ~(difference < self.tolerance_m + EPSILON_M)
        if not found.rows(where, is_wrong, what, difference):
            return
        _check_distance(difference, matches, where, found)

        uv, z = project(points, view.K)
        height, width = view.depth.shape
        is_clear = (np.abs(uv - np.rint(uv)) > _EPSILON_PX).all(axis=1) & (z > 0)
        candidates = np.flatnonzero(
            is_clear & (uv > -1).all(axis=1) & (uv < (width, height)).all(1)
        )
        column, row = uv[candidates].astype(np.int32).T
        difference = depth_difference(view, points[candidates], row * width + column)
        due = candidates[difference < self.tolerance_m - EPSILON_M]
        missing = np.setdiff1d(due, voxel)
        if len(missing):
            found.add(where, f"{len(missing)} visible voxels have no row, first {missing[0]}")


_DEFINITIONS: dict[str, type[_Strict] | type[_Pri3d]] = {"strict": _Strict, "pri3d": _Pri3d}


def _truncated_places(voxels: StoredVoxels) -> Float64[np.ndarray, "m 3"]:
    cell = voxels.coords + np.rint(voxels.grid_origin / voxels.voxel_size_m)
    return np.where(cell < 0, cell + 1, cell) * voxels.voxel_size_m


def depth_difference(
    view: View, xyz_camera: Float64[np.ndarray, "n 3"], pixel: Int32[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    """Distance along z of points to the pixels that they are said to fall on.

    Args:
        view: The frame of the pixels.
        xyz_camera: float64 (N, 3), metres, camera frame.
        pixel: int32 (N,), flat pixels.

    Returns:
        float64 (N,), metres; NaN where the point is behind the camera, or does not fall on the
        pixel (truncated toward zero), or the pixel has no depth.

    Source: pri3d_family.md A.8.
    """
    uv, z = project(xyz_camera, view.K)
    v, u = np.divmod(pixel, view.depth.shape[1])
    stated = np.stack([u, v], axis=1)
    # Truncation: (-1, 1) falls on pixel 0.
    low = np.where(stated == 0, -1, stated) - _EPSILON_PX
    falls_on = np.all((uv > low) & (uv < stated + 1 + _EPSILON_PX), axis=1)
    seen = view.depth.reshape(-1)[pixel].astype(np.float64)
    return np.where(falls_on & (z > 0) & valid_depth(seen), np.abs(z - seen), np.nan)
