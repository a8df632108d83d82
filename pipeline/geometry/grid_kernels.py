"""Compiled sparse grids: only what is occupied is stored, so that an outlier costs one block.

A hash table is (slots int64, cells int64 (M, 3)): `slots` holds row numbers of `cells`, -1 empty,
and has a power of two entries, at least twice as many as there are cells.

To look up many cells near each other, a table holds blocks of 4 x 4 x 4 cells or, with an
overhang, a little more: (slots, blocks int64 (B, 3), rows int32 (B, cells of a block)); `rows` are
row numbers of the cells, x slowest, -1 empty. Neighbours share blocks: most look-ups are one read.
"""

# mypy: ignore-errors
# Inside compiled functions numba's types hold, which mypy does not know.
import numba as nb
import numpy as np

#: Cells along an edge of a block, and its logarithm.
BLOCK = 4
_BLOCK_SHIFT = 2

compile_kernel = nb.njit(cache=True, nogil=True, error_model="numpy")


@compile_kernel
def _slot(x, y, z, mask):
    mixed = x * 73856093 ^ y * 19349669 ^ z * 83492791
    mixed ^= mixed >> 15
    mixed *= 0x2C1B3C6D
    mixed ^= mixed >> 13
    return mixed & mask


@compile_kernel
def find_cell(slots, cells, x, y, z):
    """Row of the cell (x, y, z), or -1 if it is not occupied."""
    mask = len(slots) - 1
    slot = _slot(x, y, z, mask)
    while True:
        row = slots[slot]
        if row < 0 or (cells[row, 0] == x and cells[row, 1] == y and cells[row, 2] == z):
            return row
        slot = (slot + 1) & mask


@compile_kernel
def assign_cells(points, origin, cell_m):
    """Put points into the cells of a grid.

    Args:
        points: (N, 3), metres, finite.
        origin: float64 (3,), metres, corner of cell (0, 0, 0).
        cell_m: cell edge, metres.

    Returns:
        slots, cells: the table; cells in order of first appearance.
        cell_of_point: int64 (N,), rows of `cells`.
    """
    slots = np.full(1024, -1, np.int64)
    cells = np.empty((512, 3), np.int64)
    n_cells = 0
    cell_of_point = np.empty(len(points), np.int64)
    previous = -1
    for p in range(len(points)):
        x = np.int64(np.floor((points[p, 0] - origin[0]) / cell_m))
        y = np.int64(np.floor((points[p, 1] - origin[1]) / cell_m))
        z = np.int64(np.floor((points[p, 2] - origin[2]) / cell_m))
        # Neighbouring pixels mostly share a cell.
        if (
            previous >= 0
            and cells[previous, 0] == x
            and cells[previous, 1] == y
            and cells[previous, 2] == z
        ):
            cell_of_point[p] = previous
            continue
        mask = len(slots) - 1
        slot = _slot(x, y, z, mask)
        row = slots[slot]
        while row >= 0 and (cells[row, 0] != x or cells[row, 1] != y or cells[row, 2] != z):
            slot = (slot + 1) & mask
            row = slots[slot]
        if row < 0:
            row = n_cells
            slots[slot] = row
            cells[row, 0], cells[row, 1], cells[row, 2] = x, y, z
            n_cells += 1
            if n_cells == len(cells):
                cells, slots = _grow(cells)
        cell_of_point[p] = row
        previous = row
    return slots, cells[:n_cells].copy(), cell_of_point


@compile_kernel
def _grow(cells):
    larger = np.empty((2 * len(cells), 3), np.int64)
    larger[: len(cells)] = cells
    return larger, _insert(cells, 4 * len(cells))


@compile_kernel
def _insert(cells, n_slots):
    slots = np.full(n_slots, -1, np.int64)
    for row in range(len(cells)):
        slot = _slot(cells[row, 0], cells[row, 1], cells[row, 2], n_slots - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (n_slots - 1)
        slots[slot] = row
    return slots


@compile_kernel
def build_blocks(cells, overhang):
    """Block table of distinct int64 cells (M, 3).

    Args:
        cells: int64 (M, 3).
        overhang: a block also holds so many cells beyond its upper faces; what lies around a cell
            can then be read from one block.
    """
    per_axis = (overhang + BLOCK - 1) // BLOCK + 1
    per_cell = per_axis**3
    holders = np.empty((per_cell * len(cells), 3), np.int64)
    for cell in range(len(cells)):
        for holder in range(per_cell):
            step = holder
            for axis in range(3):
                shift = min(step % per_axis * BLOCK, overhang)
                holders[per_cell * cell + holder, axis] = block_of(cells[cell, axis] - shift)
                step //= per_axis
    slots, blocks, block_of_holder = assign_cells(holders, np.zeros(3), 1.0)
    edge = BLOCK + overhang
    rows = np.full((len(blocks), edge**3), -1, np.int32)
    for holder in range(len(holders)):
        block, cell = block_of_holder[holder], holder // per_cell
        place = np.int64(0)
        for axis in range(3):
            place = place * edge + cells[cell, axis] - BLOCK * blocks[block, axis]
        rows[block, place] = cell
    return slots, blocks, rows


@compile_kernel
def block_of(x):
    """Block coordinate of a cell coordinate."""
    return x >> _BLOCK_SHIFT


@compile_kernel
def group_by_cell(cell_of_point, n_cells):
    """Counting sort: starts int64 (n_cells + 1,) and the points of each cell in their order."""
    starts = np.zeros(n_cells + 1, np.int64)
    for cell in cell_of_point:
        starts[cell + 1] += 1
    for cell in range(n_cells):
        starts[cell + 1] += starts[cell]
    cursor = starts[:-1].copy()
    points = np.empty(len(cell_of_point), np.int64)
    for point in range(len(cell_of_point)):
        cell = cell_of_point[point]
        points[cursor[cell]] = point
        cursor[cell] += 1
    return starts, points
