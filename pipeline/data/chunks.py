"""The part of a scene's voxels that the 3D network sees for some frames."""

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32

from pipeline.data.chunk_kernels import inside_boxes, world_bounds


def frame_box(
    depth: Float32[np.ndarray, "h w"],
    K: Float64[np.ndarray, "3 3"],
    T_world_camera: Float64[np.ndarray, "4 4"],
) -> Float64[np.ndarray, "2 3"]:
    """Box around what a frame sees, widened to whole metres.

    Args:
        depth: float32 (H, W), metres along z, 0 invalid.
        K: float64 (3, 3), pixels.
        T_world_camera: float64 (4, 4), camera-to-world, metres.

    Returns:
        float64 (2, 3), metres, world: lower and upper corner; lower = upper = 0 without depth.

    Source: spec A.6. Deviation: pixels without depth are left out (the code counts them as
    points at the camera's centre).
    """
    low, high = world_bounds(np.ascontiguousarray(depth), K, T_world_camera)
    if not np.isfinite(low).all():
        return np.zeros((2, 3))
    return np.stack([np.floor(low), np.ceil(high)])


def in_boxes(
    xyz_world: Float32[np.ndarray, "m 3"], boxes: Float64[np.ndarray, "b 2 3"]
) -> Bool[np.ndarray, " m"]:
    """Which points lie strictly inside at least one box.

    Args:
        xyz_world: float32 (M, 3), metres, world.
        boxes: float64 (B, 2, 3), metres, world: lower and upper corners.

    Returns:
        bool (M,).

    Source: spec A.6. Deviation: the union over all frames of a scene in a batch, so that one
    pass of the 3D network serves both views (the code passes each view's chunk on its own).
    """
    return inside_boxes(xyz_world, boxes)


def chunk_rows(inside: Bool[np.ndarray, " m"]) -> Int32[np.ndarray, " m"]:
    """Row in the chunk of each voxel of the scene, -1 outside of the chunk."""
    rows = np.full(len(inside), -1, np.int32)
    rows[inside] = np.arange(np.count_nonzero(inside), dtype=np.int32)
    return rows
