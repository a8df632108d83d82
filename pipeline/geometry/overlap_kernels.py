"""Compiled parts of the overlap: down-sampling and the shared grid with one bit per frame."""

# mypy: ignore-errors
# Inside compiled functions numba's types hold, which mypy does not know.
import numpy as np

from pipeline.geometry.grid_kernels import (
    BLOCK,
    assign_cells,
    block_of,
    build_blocks,
    compile_kernel,
    find_cell,
    group_by_cell,
)

#: The upper six bits of 2**n times this differ for every n: an index for the number of a bit.
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_BIT_NUMBER = np.empty(64, np.int64)
_BIT_NUMBER[[((1 << n) * int(_DE_BRUIJN) % 2**64) >> 58 for n in range(64)]] = np.arange(64)


@compile_kernel
def back_project_world(depth, K, T_world_camera):
    """World points float64 (N, 3) of all valid pixels, row by row."""
    points = np.empty((depth.size, 3), np.float64)
    n = 0
    T = T_world_camera
    rays_x = (np.arange(depth.shape[1]) - K[0, 2]) / K[0, 0]
    for v in range(depth.shape[0]):
        ray_y = (v - K[1, 2]) / K[1, 1]
        for u in range(depth.shape[1]):
            if not (depth[v, u] > 0 and depth[v, u] < np.inf):
                continue
            # float32 metres hold raw millimetres only to 1e-7: this gives float64(raw) / 1000.
            z = np.int64(np.float64(depth[v, u]) * 1e5 + 0.5) / 1e5
            x, y = rays_x[u] * z, ray_y * z
            for axis in range(3):
                points[n, axis] = T[axis, 0] * x + T[axis, 1] * y + T[axis, 2] * z + T[axis, 3]
            n += 1
    return points[:n]


@compile_kernel
def low_corner(points):
    """Least x, y and z of (N, 3) points, NaN if one is not finite; 10 times faster than numpy's."""
    low = np.full(3, np.inf)
    for p in range(len(points)):
        for axis in range(3):
            value = points[p, axis]
            if not np.isfinite(value):
                return np.full(3, np.nan)
            if value < low[axis]:
                low[axis] = value
    return low


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


#: Cells to either side that the radius can reach; a cell and they lie in 2 x 2 x 2 blocks.
_REACH = 2


@compile_kernel
def _neighbour_offsets(cell_m, radius_m):
    """Offsets int64 (C, 3) of all cells that can hold a point within the radius, nearest first."""
    reach = _REACH
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


# Whole arrays and row numbers: a slice as an argument costs more than what these functions do.
@compile_kernel
def _has_news(bits, row, found):
    """Whether a bit of a row is set that is not found yet."""
    for word in range(len(found)):  # noqa: SIM110 (numba has no generators)
        if bits[row, word] & ~found[word]:
            return True
    return False


@compile_kernel
def _add_bits(found, bits, row):
    for word in range(len(found)):
        found[word] |= bits[row, word]


@compile_kernel
def _box_distances(low, high, box, low_b, high_b, box_b):
    """Squares of the least and of the largest distance that points of two boxes can have."""
    nearest, farthest = 0.0, 0.0
    for axis in range(3):
        below = low_b[box_b, axis] - high[box, axis]
        above = low[box, axis] - high_b[box_b, axis]
        gap = max(below, above, 0.0)
        span = max(high_b[box_b, axis] - low[box, axis], high[box, axis] - low_b[box_b, axis])
        nearest += gap * gap
        farthest += span * span
    return nearest, farthest


@compile_kernel
def count_covered(points, frame, n_frames, radius_m):
    """For each pair of frames, the points of one that the other has a point near.

    Args:
        points: float64 (P, 3), metres, all frames one after the other.
        frame: int64 (P,), frame of each point, ascending.
        n_frames: number of frames.
        radius_m: metres; `near` is strictly closer, as in Open3D's radius search.

    Returns:
        int64 (n_frames, n_frames): [i, j] counts points of j with a point of i near.
    """
    # The diagonal of a cell is just below the radius: points that share a cell need no test.
    cell_m = radius_m / np.sqrt(3) * (1 - 1e-9)
    _, cells, cell_of_point = assign_cells(points, low_corner(points), cell_m)
    slots, blocks, rows = build_blocks(cells, 0)
    starts, grouped = group_by_cell(cell_of_point, len(cells))
    offsets = _neighbour_offsets(cell_m, radius_m)
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
    around = np.empty(8, np.int64)
    nearby, neighbours = np.empty((2, len(offsets)), np.int64)
    covered = np.empty(n_words, np.uint64)
    possible = np.empty(n_words, np.uint64)
    found = np.empty(n_words, np.uint64)
    for cell in range(len(cells)):
        # What holds for the boxes of two cells holds for all their points. Rounding is monotone,
        # so the boxes decide exactly as the points would.
        covered[:] = bits[cell]
        n_nearby = 0
        x, y, z = cells[cell, 0], cells[cell, 1], cells[cell, 2]
        i, j, k = block_of(x - _REACH), block_of(y - _REACH), block_of(z - _REACH)
        for corner in range(8):
            around[corner] = find_cell(
                slots, blocks, i + (corner >> 2), j + (corner >> 1 & 1), k + (corner & 1)
            )
        for o in range(len(offsets)):
            u, v, w = x + offsets[o, 0], y + offsets[o, 1], z + offsets[o, 2]
            block = around[(block_of(u) - i) * 4 + (block_of(v) - j) * 2 + block_of(w) - k]
            place = ((u % BLOCK) * BLOCK + v % BLOCK) * BLOCK + w % BLOCK
            row = -1 if block < 0 else rows[block, place]
            if row < 0 or not _has_news(bits, row, covered):
                continue
            nearest, farthest = _box_distances(low, high, cell, low, high, row)
            if farthest < limit:
                _add_bits(covered, bits, row)
            elif nearest < limit:
                nearby[n_nearby] = row
                n_nearby += 1
        possible[:] = covered
        n_neighbours = 0
        for n in range(n_nearby):
            if _has_news(bits, nearby[n], covered):
                neighbours[n_neighbours] = nearby[n]
                n_neighbours += 1
                _add_bits(possible, bits, nearby[n])
        for p in range(starts[cell], starts[cell + 1]):
            found[:] = covered
            for n in range(n_neighbours):
                row = neighbours[n]
                if not _has_news(bits, row, found):
                    continue
                nearest, farthest = _box_distances(near_points, near_points, p, low, high, row)
                if nearest >= limit:
                    continue
                if farthest < limit:
                    _add_bits(found, bits, row)
                else:
                    for q in range(starts[row], starts[row + 1]):
                        word = near_frame[q] >> 6
                        bit = np.uint64(1) << np.uint64(near_frame[q] & 63)
                        if found[word] & bit:
                            continue
                        dx = near_points[q, 0] - near_points[p, 0]
                        dy = near_points[q, 1] - near_points[p, 1]
                        dz = near_points[q, 2] - near_points[p, 2]
                        if dx * dx + dy * dy + dz * dz < limit:
                            found[word] |= bit
                is_complete = True
                for word in range(n_words):
                    is_complete &= found[word] == possible[word]
                if is_complete:
                    break
            j = near_frame[p]
            for word in range(n_words):
                rest = found[word]
                while rest:
                    lowest = rest & (~rest + np.uint64(1))
                    counts[j, word * 64 + _BIT_NUMBER[lowest * _DE_BRUIJN >> np.uint64(58)]] += 1
                    rest ^= lowest
    return counts.T
