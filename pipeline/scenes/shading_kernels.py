"""Inner loops of shading: values inside triangles, and noise from a table."""

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, error_model="numpy")
def blend(corners: np.ndarray, face: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Values at places in triangles from those at their corners.

    Args:
        corners: float32 (F, 3, 3), a vector at each corner of each triangle.
        face: int32 (N,), triangle of each place; -1 takes the last one.
        uv: float32 (N, 2), weights of the second and third corner.

    Returns:
        float32 (N, 3).
    """
    values = np.empty((len(face), 3), np.float32)
    for i in range(len(face)):
        triangle = corners[face[i]]
        u, v = uv[i, 0], uv[i, 1]
        w = np.float32(1) - u - v
        for axis in range(3):
            values[i, axis] = w * triangle[0, axis] + u * triangle[1, axis] + v * triangle[2, axis]
    return values


@numba.njit(cache=True, nogil=True, error_model="numpy")
def interpolate_periodic(table: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Trilinear interpolation in a table that repeats in all directions.

    Args:
        table: float32 (C, C, C), C a power of two.
        place: float32 (N, 3), in cells, any sign.

    Returns:
        float32 (N,).
    """
    mask = table.shape[0] - 1
    values = np.empty(len(place), np.float32)
    for i in range(len(place)):
        x, y, z = np.floor(place[i, 0]), np.floor(place[i, 1]), np.floor(place[i, 2])
        fx, fy, fz = place[i, 0] - x, place[i, 1] - y, place[i, 2] - z
        x0, y0, z0 = int(x) & mask, int(y) & mask, int(z) & mask
        x1, y1, z1 = (x0 + 1) & mask, (y0 + 1) & mask, (z0 + 1) & mask
        low = (table[x0, y0, z0] * (1 - fx) + table[x1, y0, z0] * fx) * (1 - fy) + (
            table[x0, y1, z0] * (1 - fx) + table[x1, y1, z0] * fx
        ) * fy
        high = (table[x0, y0, z1] * (1 - fx) + table[x1, y0, z1] * fx) * (1 - fy) + (
            table[x0, y1, z1] * (1 - fx) + table[x1, y1, z1] * fx
        ) * fy
        values[i] = low * (1 - fz) + high * fz
    return values
