"""Compiled part of the projection: pixels per set."""

# mypy: ignore-errors
# Inside compiled functions numba's types hold, which mypy does not know.
import numpy as np

from pipeline.geometry.grid_kernels import compile_kernel


@compile_kernel
def count_pixels(pixel, element, element_set, n_sets):
    """Distinct pixels of each set, int32 (n_sets,); rows of one pixel must follow each other."""
    counts = np.zeros(n_sets, np.int32)
    latest = np.full(n_sets, -1, np.int32)
    for row in range(len(pixel)):
        shown = element_set[element[row]]
        if shown >= 0 and latest[shown] != pixel[row]:
            latest[shown] = pixel[row]
            counts[shown] += 1
    return counts
