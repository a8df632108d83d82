"""Compiled parts of the chunks: bounds of what a frame sees, voxels inside boxes."""

# mypy: ignore-errors
# Inside compiled functions numba's types hold, which mypy does not know.
import numpy as np

from pipeline.geometry.grid_kernels import compile_kernel


@compile_kernel
def world_bounds(depth, K, T_world_camera):
    """Least and largest x, y, z, float64 (2, 3), world, of all pixels with depth; inf without."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    T = T_world_camera
    for v in range(depth.shape[0]):
        ray_y = (v - K[1, 2]) / K[1, 1]
        for u in range(depth.shape[1]):
            z = np.float64(depth[v, u])
            if not z > 0:
                continue
            x, y = (u - K[0, 2]) / K[0, 0] * z, ray_y * z
            for axis in range(3):
                value = T[axis, 0] * x + T[axis, 1] * y + T[axis, 2] * z + T[axis, 3]
                low[axis] = min(low[axis], value)
                high[axis] = max(high[axis], value)
    return np.stack((low, high))


@compile_kernel
def inside_boxes(points, boxes):
    """Bool (M,): points (M, 3) strictly inside one of the boxes (B, 2, 3)."""
    inside = np.zeros(len(points), np.bool_)
    for p in range(len(points)):
        for b in range(len(boxes)):
            is_in = True
            for axis in range(3):
                is_in &= boxes[b, 0, axis] < points[p, axis] < boxes[b, 1, axis]
            inside[p] |= is_in
    return inside
