"""Compiled parts of the overlap: down-sampling and the shared grid with one bit per frame."""

# mypy: ignore-errors
# Inside compiled functions numba's types hold, which mypy does not know.
import numpy as np

from pipeline.geometry.grid_kernels import (
    assign_cells,
    compile_kernel,
    find_cell,
    group_by_cell,
)


@compile_kernel
def back_project_world(depth, K, T_world_camera):
    """World points float64 (N, 3) of all valid pixels, row by row."""
    points = np.empty((depth.size, 3), np.float64)
    n = 0
    T = T_world_camera
    for v in range(depth.shape[0]):
        ray_y = (v - K[1, 2]) / K[1, 1]
        for u in range(depth.shape[1]):
            # float32 metres hold raw millimetres only to 1e-7: this gives float64(raw) / 1000.
            z = np.rint(np.float64(depth[v, u]) * 1e5) / 1e5
            if not (z > 0 and z < np.inf):
                continue
            x, y = (u - K[0, 2]) / K[0, 0] * z, ray_y * z
            for axis in range(3):
                points[n, axis] = T[axis, 0] * x + T[axis, 1] * y + T[axis, 2] * z + T[axis, 3]
            n += 1
    return points[:n].copy()


@compile_kernel
def mean_per_cell(points, origin, cell_m):
    """Mean point of each occupied cell, summed in the order of the points."""
    _, cells, cell_of_point = assign_cells(points, origin, cell_m)
    means = np.zeros((len(cells), 3), np.float64)
    counts = np.zeros(len(cells), np.int64)
    for p in range(len(points)):
        cell = cell_of_point[p]
        for axis in range(3):
            means[cell, axis] += points[p, axis]
        counts[cell] += 1
    for cell in range(len(cells)):
        for axis in range(3):
            means[cell, axis] /= counts[cell]
    return means


@compile_kernel
def neighbour_offsets(cell_m, radius_m):
    """Offsets int64 (C, 3) of all cells that can hold a point within the radius, nearest first."""
    reach = np.int64(np.ceil(radius_m / cell_m))
    count = (2 * reach + 1) ** 3
    offsets = np.empty((count, 3), np.int64)
    gaps = np.empty(count, np.float64)
    n = 0
    for x in range(-reach, reach + 1):
        for y in range(-reach, reach + 1):
            for z in range(-reach, reach + 1):
                gap = (
                    max(abs(x) - 1, 0) ** 2 + max(abs(y) - 1, 0) ** 2 + max(abs(z) - 1, 0) ** 2
                ) * cell_m**2
                if (x != 0 or y != 0 or z != 0) and gap < radius_m**2:
                    offsets[n, 0], offsets[n, 1], offsets[n, 2] = x, y, z
                    gaps[n] = gap + 1e-9 * (x * x + y * y + z * z)
                    n += 1
    return offsets[:n][np.argsort(gaps[:n])]


@compile_kernel
def count_covered(points, frame, n_frames, origin, cell_m, radius_m):
    """For each pair of frames, the points of one that the other has a point near.

    Args:
        points: float64 (P, 3), metres, all frames one after the other.
        frame: int64 (P,), frame of each point, ascending.
        n_frames: number of frames.
        origin: float64 (3,), metres.
        cell_m: cell edge, metres; two points of a cell must be within the radius.
        radius_m: metres; `near` is strictly closer, as in Open3D's radius search.

    Returns:
        int64 (n_frames, n_frames): [i, j] counts points of j with a point of i near.
    """
    slots, cells, cell_of_point = assign_cells(points, origin, cell_m)
    starts, grouped = group_by_cell(cell_of_point, len(cells))
    offsets = neighbour_offsets(cell_m, radius_m)
    n_words = (n_frames + 63) // 64
    # Points copied in cell order, frames ascending inside a cell: the inner loop reads in a row.
    near_points, near_frame = points[grouped], frame[grouped]
    bits = np.zeros((len(cells), n_words), np.uint64)
    low = np.full((len(cells), 3), np.inf)
    high = np.full((len(cells), 3), -np.inf)
    for cell in range(len(cells)):
        for q in range(starts[cell], starts[cell + 1]):
            bits[cell, near_frame[q] >> 6] |= np.uint64(1) << np.uint64(near_frame[q] & 63)
            for axis in range(3):
                low[cell, axis] = min(low[cell, axis], near_points[q, axis])
                high[cell, axis] = max(high[cell, axis], near_points[q, axis])

    counts = np.zeros((n_frames, n_frames), np.int64)
    limit = radius_m * radius_m
    neighbours = np.empty(len(offsets), np.int64)
    found = np.empty(n_words, np.uint64)
    for cell in range(len(cells)):
        n_neighbours = 0
        for o in range(len(offsets)):
            row = find_cell(
                slots,
                cells,
                cells[cell, 0] + offsets[o, 0],
                cells[cell, 1] + offsets[o, 1],
                cells[cell, 2] + offsets[o, 2],
            )
            if row >= 0:
                neighbours[n_neighbours] = row
                n_neighbours += 1
        for p in range(starts[cell], starts[cell + 1]):
            for word in range(n_words):
                found[word] = bits[cell, word]
            x, y, z = near_points[p, 0], near_points[p, 1], near_points[p, 2]
            for n in range(n_neighbours):
                row = neighbours[n]
                news = False
                for word in range(n_words):
                    if bits[row, word] & ~found[word]:
                        news = True
                        break
                if not news:
                    continue
                # Rounding is monotone, so these bounds decide exactly as the points would.
                nearest, farthest = 0.0, 0.0
                for axis in range(3):
                    below = low[row, axis] - near_points[p, axis]
                    above = near_points[p, axis] - high[row, axis]
                    gap = max(below, above, 0.0)
                    span = max(-below, -above)
                    nearest += gap * gap
                    farthest += span * span
                if nearest >= limit:
                    continue
                if farthest < limit:
                    for word in range(n_words):
                        found[word] |= bits[row, word]
                    continue
                for q in range(starts[row], starts[row + 1]):
                    word = near_frame[q] >> 6
                    bit = np.uint64(1) << np.uint64(near_frame[q] & 63)
                    if found[word] & bit:
                        continue
                    dx, dy, dz = near_points[q, 0] - x, near_points[q, 1] - y, near_points[q, 2] - z
                    if dx * dx + dy * dy + dz * dz < limit:
                        found[word] |= bit
            j = near_frame[p]
            for word in range(n_words):
                rest = found[word]
                while rest:
                    lowest = rest & (~rest + np.uint64(1))
                    counts[word * 64 + _bit_number(lowest), j] += 1
                    rest ^= lowest
    return counts


@compile_kernel
def _bit_number(power_of_two):
    number = 0
    for step in (32, 16, 8, 4, 2, 1):
        if power_of_two >> np.uint64(step):
            power_of_two >>= np.uint64(step)
            number += step
    return number
