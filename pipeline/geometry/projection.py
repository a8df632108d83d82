"""Sets of a scene's surface (segments, labels) carried to voxels and projected into frames."""

import numpy as np
from jaxtyping import Int32


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
    voxel_index: Int32[np.ndarray, " n"],
    voxel_set: Int32[np.ndarray, " m"],
    min_pixels: int,
) -> tuple[Int32[np.ndarray, " s"], Int32[np.ndarray, " s"]]:
    """The sets that a frame sees, by its pixel-voxel matches.

    Args:
        pixel: int32 (N,), flat pixels of the matches.
        voxel_index: int32 (N,), their voxels.
        voxel_set: int32 (M,), set of each voxel, -1 none.
        min_pixels: smaller sets are left out.

    Returns:
        set_id: int32 (S,), ascending.
        n_pixels: int32 (S,), distinct pixels of each (`pri3d` matches share pixels).

    Source: paper 001 section 3.2, P_j^m; visibility through the voxel map, which is one of the
    natural choices where the paper does not say (pri3d_family.md B.2).
    """
    set_of_match = voxel_set[voxel_index].astype(np.int64)
    has_set = set_of_match >= 0
    seen = np.unique((set_of_match[has_set] << 32) | pixel[has_set])
    set_id, n_pixels = np.unique(seen >> 32, return_counts=True)
    kept = n_pixels >= min_pixels
    return set_id[kept].astype(np.int32), n_pixels[kept].astype(np.int32)
