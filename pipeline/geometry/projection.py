"""Sets of a scene's surface (segments, labels) carried to voxels and projected into frames."""

import numpy as np
from jaxtyping import Int32

from pipeline.geometry.projection_kernels import count_pixels


def majority_per_voxel(
    vertex_set: Int32[np.ndarray, " v"], vertex_voxel: Int32[np.ndarray, " v"], n_voxels: int
) -> Int32[np.ndarray, " m"]:
    """The commonest set among the vertices of each voxel.

    Args:
        vertex_set: int32 (V,), set of each vertex, -1 none (which takes part in the vote).
        vertex_voxel: int32 (V,), voxel of each vertex.
        n_voxels: M.

    Returns:
        int32 (M,), the smallest of the commonest sets; -1 where a voxel has no vertices.
    """
    result = np.full(n_voxels, -1, dtype=np.int32)
    if not len(vertex_set):
        return result
    n_sets = int(vertex_set.max()) + 2
    votes, counts = np.unique(
        vertex_voxel.astype(np.int64) * n_sets + vertex_set + 1, return_counts=True
    )
    voxel, voted = np.divmod(votes, n_sets)
    # The last assignment wins: of each voxel the commonest, of several of those the smallest.
    order = np.lexsort((-voted, counts))
    result[voxel[order]] = voted[order] - 1
    return result


def project_sets(
    pixel: Int32[np.ndarray, " n"],
    element: Int32[np.ndarray, " n"],
    element_set: Int32[np.ndarray, " m"],
    min_pixels: int,
) -> tuple[Int32[np.ndarray, " s"], Int32[np.ndarray, " s"]]:
    """The sets that a frame sees.

    Args:
        pixel: int32 (N,), flat pixels, ascending; a pixel may show several elements.
        element: int32 (N,), what each shows: a voxel (correspondences) or a vertex (`ray_casting`).
        element_set: int32 (M,), set of each voxel or vertex, -1 none.
        min_pixels: smaller sets are left out.

    Returns:
        set_id: int32 (S,), ascending.
        n_pixels: int32 (S,), distinct pixels of each (`pri3d` matches share pixels).

    Source: paper 001 section 3.2, P_j^m; which pixels see a set the paper does not say
    (pri3d_family.md B.2).
    """
    counts = count_pixels(pixel, element, element_set, int(element_set.max(initial=-1)) + 1)
    set_id = np.flatnonzero(counts >= min_pixels).astype(np.int32)
    return set_id, counts[set_id]


def pixels_of_sets(
    pixel: Int32[np.ndarray, " n"],
    element: Int32[np.ndarray, " n"],
    element_set: Int32[np.ndarray, " m"],
    set_id: Int32[np.ndarray, " s"],
) -> list[np.ndarray]:
    """Flat pixels, int32 ascending, of each of `set_id`.

    The arguments are those of `project_sets`, with at most one row for each pixel.
    """
    shown = element_set[element]
    order = np.argsort(shown, kind="stable")
    starts, ends = (np.searchsorted(shown[order], set_id, side) for side in ("left", "right"))
    return [pixel[order[start:end]] for start, end in zip(starts, ends, strict=True)]
