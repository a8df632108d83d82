"""Which pixels and voxels, and which pixels of two frames, are one place.

Both tests of Matching.mode: `strict` measures the distance in 3D (paper 000's text), `pri3d`
compares depths along z after projection (the code; pri3d_family.md A.8, F.1).
"""

from typing import Literal

import numpy as np
from jaxtyping import Float32, Float64, Int32, UInt8

from pipeline.geometry.camera import invert_pose
from pipeline.geometry.correspondence_kernels import (
    camera_points,
    first_occurrences,
    nearest_pixels,
    nearest_voxels,
    visible_points,
    voxels_across,
)
from pipeline.geometry.grid_kernels import build_blocks
from pipeline.geometry.voxels import Voxels

Mode = Literal["strict", "pri3d"]
#: The table of voxels near each other grows with the cube of the radius in voxels.
MAX_RADIUS_VOXELS = 3


class VoxelMatcher:
    """Pixel-voxel matches of the frames of one scene.

    Args:
        voxels: the scene's voxels.
        mode: `strict`: one row per valid pixel with a voxel centre within the tolerance, its
            nearest. `pri3d`: one row per voxel in front of the camera whose z differs by less than
            the tolerance from the depth of the pixel it falls on.
        tolerance_m: metres; `strict`: in 3D, inclusive; `pri3d`: along z, exclusive. At most 0.255.

    Raises:
        ValueError: unknown mode, or a tolerance that uint8 millimetres cannot hold, or that is
            larger than `MAX_RADIUS_VOXELS` voxels.

    Source: `strict`: paper 000 section 3.1 (2 cm). `pri3d`: pri3d_family.md A.8: voxels are placed
    as the code does (truncated toward zero, no half-cell offset) and pixels found by truncation.
    Deviation: pixels without depth and voxels behind the camera never match (F.2).
    """

    def __init__(self, voxels: Voxels, mode: Mode, tolerance_m: float) -> None:
        _check_mode(mode)
        if not 0 < tolerance_m <= 0.255:
            raise ValueError(f"the tolerance must be in (0, 0.255] m, not {tolerance_m}")
        self.mode = mode
        self.tolerance_m = tolerance_m
        self.voxels = voxels
        self._cells = voxels.coords.astype(np.int64)
        if mode == "strict" and tolerance_m > MAX_RADIUS_VOXELS * voxels.voxel_size_m:
            raise ValueError(
                f"the tolerance, {tolerance_m} m, is more than {MAX_RADIUS_VOXELS} voxels of "
                f"{voxels.voxel_size_m} m"
            )
        across = voxels_across(tolerance_m, voxels.voxel_size_m)
        self._blocks = build_blocks(self._cells, across - 1) if mode == "strict" else ()
        first = np.rint(voxels.grid_origin / voxels.voxel_size_m)
        index = self._cells + first
        self._places = (index + (index < 0)) * voxels.voxel_size_m

    def match(
        self,
        depth: Float32[np.ndarray, "h w"],
        K: Float64[np.ndarray, "3 3"],
        T_world_camera: Float64[np.ndarray, "4 4"],
    ) -> tuple[Int32[np.ndarray, " n"], Int32[np.ndarray, " n"], UInt8[np.ndarray, " n"]]:
        """Match one frame.

        Args:
            depth: float32 (H, W), metres along z; 0, NaN or infinite where invalid.
            K: float64 (3, 3), pixels at the size of `depth`.
            T_world_camera: float64 (4, 4).

        Returns:
            pixel: int32 (N,), flat index v * W + u, ascending.
            voxel_index: int32 (N,), rows of the voxels.
            distance_mm: uint8 (N,), millimetres; 3D (`strict`) or along z (`pri3d`).
        """
        depth = np.ascontiguousarray(depth)
        if self.mode == "strict":
            pixel, voxel, distance = nearest_voxels(
                depth,
                K,
                T_world_camera,
                *self._blocks,  # type: ignore[call-arg]
                self.voxels.voxel_size_m,
                self.voxels.grid_origin,
                self.tolerance_m,
            )
        else:
            T_camera_world = invert_pose(T_world_camera)
            pixel, voxel, distance = visible_points(
                depth, K, T_camera_world, self._places, self.tolerance_m, len(self._places)
            )
            order = np.argsort(pixel, kind="stable")
            pixel, voxel, distance = pixel[order], voxel[order], distance[order]
        return pixel, voxel, np.rint(distance * 1000).astype(np.uint8)


def match_pixels(
    depth_a: Float32[np.ndarray, "ha wa"],
    K_a: Float64[np.ndarray, "3 3"],
    T_world_a: Float64[np.ndarray, "4 4"],
    depth_b: Float32[np.ndarray, "hb wb"],
    K_b: Float64[np.ndarray, "3 3"],
    T_world_b: Float64[np.ndarray, "4 4"],
    mode: Mode,
    radius_m: float,
) -> tuple[Int32[np.ndarray, " n"], Int32[np.ndarray, " n"]]:
    """Match the pixels of a to those of b; not symmetric, several of a may share one of b.

    Args:
        depth_a, depth_b: float32 (H, W), metres along z; 0, NaN or infinite where invalid.
        K_a, K_b: float64 (3, 3), pixels at the sizes of the depths.
        T_world_a, T_world_b: float64 (4, 4), camera-to-world.
        mode: `strict`: each valid pixel of a goes to the pixel of b whose 3D point is nearest, if
            that is within `radius_m`. `pri3d`: to the pixel that its point falls on (truncated), if
            their depths differ by less than `radius_m`.
        radius_m: metres; `strict`: in 3D, inclusive; `pri3d`: along z, exclusive.

    Returns:
        pixel_a, pixel_b: int32 (N,), flat indices v * W + u; pixel_a ascending.

    Raises:
        ValueError: unknown mode.

    Source: paper 000 section 3.1 (`strict`, 2 cm); pri3d_family.md A.8 (`pri3d`, 5 cm).
    Deviation: pixels without depth and points behind the camera never match (F.2).
    """
    every = np.arange(depth_a.size, dtype=np.int32)
    view_a, view_b = (depth_a, K_a, T_world_a), (depth_b, K_b, T_world_b)
    return _match_in_order(every, view_a, view_b, mode, radius_m, len(every))


def sample_pixel_matches(
    depth_a: Float32[np.ndarray, "ha wa"],
    K_a: Float64[np.ndarray, "3 3"],
    T_world_a: Float64[np.ndarray, "4 4"],
    depth_b: Float32[np.ndarray, "hb wb"],
    K_b: Float64[np.ndarray, "3 3"],
    T_world_b: Float64[np.ndarray, "4 4"],
    mode: Mode,
    radius_m: float,
    n: int,
    rng: np.random.Generator,
) -> tuple[Int32[np.ndarray, " n"], Int32[np.ndarray, " n"]]:
    """Draw n of the matches of `match_pixels` uniformly, without finding all of them.

    Args:
        n: Matches wanted.
        rng: Source of randomness; the others are those of `match_pixels`.

    Returns:
        pixel_a, pixel_b: int32 (n,), flat indices, without replacement where there are enough
            matches, else with; (0,) if there is none.

    Source: pri3d_family.md A.8 (1,024 matches uniformly, with replacement if fewer).
    """
    view_a, view_b = (depth_a, K_a, T_world_a), (depth_b, K_b, T_world_b)
    # The first matches in random order are a uniform sample, whatever share of the pixels matches.
    drawn = rng.integers(depth_a.size, size=_DRAWS_PER_MATCH * n, dtype=np.int32)
    order = first_occurrences(drawn, depth_a.size)
    pixel_a, pixel_b = _match_in_order(order, view_a, view_b, mode, radius_m, n)
    if len(pixel_a) < n:
        pixel_a, pixel_b = match_pixels(*view_a, *view_b, mode, radius_m)
        if len(pixel_a):
            chosen = rng.choice(len(pixel_a), n, replace=n > len(pixel_a))
            pixel_a, pixel_b = pixel_a[chosen], pixel_b[chosen]
    return pixel_a, pixel_b


#: Enough for all but the pairs that match least: a quarter of the pixels is common.
_DRAWS_PER_MATCH = 8
_View = tuple[np.ndarray, np.ndarray, np.ndarray]


def _match_in_order(
    pixels_a: Int32[np.ndarray, " p"],
    view_a: _View,
    view_b: _View,
    mode: Mode,
    radius_m: float,
    at_most: int,
) -> tuple[Int32[np.ndarray, " n"], Int32[np.ndarray, " n"]]:
    """The first matches of some pixels of a, in their order; see `match_pixels`."""
    _check_mode(mode)
    depth_a, K_a, T_world_a = view_a
    depth_b, K_b, T_world_b = view_b
    points_a = camera_points(np.ascontiguousarray(depth_a), K_a, pixels_a)
    T_b_a = invert_pose(T_world_b) @ T_world_a
    depth_b = np.ascontiguousarray(depth_b)
    if mode == "pri3d":
        pixel_b, point_a, _ = visible_points(depth_b, K_b, T_b_a, points_a, radius_m, at_most)
    else:
        point_a, pixel_b = nearest_pixels(points_a, T_b_a, depth_b, K_b, radius_m, at_most)
    return pixels_a[point_a], pixel_b


def _check_mode(mode: str) -> None:
    if mode not in ("strict", "pri3d"):
        raise ValueError(f"no match mode {mode!r}; known: strict, pri3d")
