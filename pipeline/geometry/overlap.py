"""Surface overlap of two frames: the share of one's down-sampled points near the other's."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Float64

from pipeline.geometry.overlap_kernels import (
    back_project_world,
    count_covered,
    low_corner,
    mean_per_cell,
)


def depth_to_cloud(
    depth: Float32[np.ndarray, "h w"],
    K: Float64[np.ndarray, "3 3"],
    T_world_camera: Float64[np.ndarray, "4 4"],
) -> Float64[np.ndarray, "n 3"]:
    """World points of all valid pixels of a depth image.

    Args:
        depth: float32 (H, W), metres along z; 0, NaN or infinite where invalid.
        K: float64 (3, 3), pixels.
        T_world_camera: float64 (4, 4).

    Returns:
        float64 (N, 3), metres, world. Depths are rounded to 10 um, which undoes the float32
        rounding of whole millimetres.

    Source: pri3d_family.md A.3.
    """
    return back_project_world(np.ascontiguousarray(depth), K, T_world_camera)


def downsample_cloud(
    points: Float64[np.ndarray, "n 3"], cell_m: float
) -> Float64[np.ndarray, "m 3"]:
    """One point per occupied cell: the mean of the points in it.

    Args:
        points: float64 (N, 3), metres, finite.
        cell_m: cell edge, metres. The grid starts half a cell below the cloud's min corner.

    Returns:
        float64 (M, 3), metres, in the order in which cells first appear. Values are bit-identical
        to those of Open3D's `voxel_down_sample`, whose order is arbitrary.

    Raises:
        ValueError: a coordinate is not finite.

    Source: pri3d_family.md A.4, step 1.
    """
    if not len(points):
        return points
    low = low_corner(points)
    if np.isnan(low).any():
        raise ValueError("a cloud with coordinates that are not finite has no overlap; drop it")
    return mean_per_cell(points, low - cell_m * 0.5, cell_m)


def compute_overlaps(
    clouds: Sequence[Float64[np.ndarray, "_ 3"]], radius_m: float
) -> Float32[np.ndarray, "n n"]:
    """Directed overlaps of all pairs of clouds, exactly.

    Args:
        clouds: N down-sampled clouds, float64 (M_i, 3), metres, world; empty ones are allowed.
        radius_m: a point has a partner strictly closer than this, metres.

    Returns:
        float32 (N, N): [i, j] is the share of j's points that have any point of i within the
        radius; 0 where j is empty.

    Source: pri3d_family.md A.4, step 2.
    """
    n_frames = len(clouds)
    sizes = np.array([len(cloud) for cloud in clouds], dtype=np.int64)
    if not sizes.sum():
        return np.zeros((n_frames, n_frames), dtype=np.float32)
    frame = np.repeat(np.arange(n_frames), sizes)
    counts = count_covered(np.concatenate(clouds), frame, n_frames, radius_m)
    return (counts / np.maximum(sizes, 1)).astype(np.float32)
