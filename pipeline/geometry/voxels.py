"""Voxels of a mesh: the 3D input grid and the 3D side of every pixel-voxel match."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32, UInt8

from pipeline.geometry.grid_kernels import assign_cells


@dataclass(frozen=True)
class Voxels:
    """The occupied voxels of a scene, sorted by coordinates.

    Attributes:
        coords: int32 (M, 3), floor((xyz - grid_origin) / voxel_size_m), x first in the order.
        xyz_world: float32 (M, 3), metres, voxel centres.
        rgb: uint8 (M, 3), mean colour of the vertices.
        n_vertices: int32 (M,), at least 1.
        voxel_size_m: voxel edge, metres.
        grid_origin: float64 (3,), metres, corner of voxel (0, 0, 0), a whole number of voxels
            from the world's origin.
        vertex_voxel: int32 (V,), voxel of each vertex.
    """

    coords: Int32[np.ndarray, "m 3"]
    xyz_world: Float32[np.ndarray, "m 3"]
    rgb: UInt8[np.ndarray, "m 3"]
    n_vertices: Int32[np.ndarray, " m"]
    voxel_size_m: float
    grid_origin: Float64[np.ndarray, "3"]
    vertex_voxel: Int32[np.ndarray, " v"]


def voxelize(
    vertices: Float32[np.ndarray, "v 3"], rgb: UInt8[np.ndarray, "v 3"], voxel_size_m: float
) -> Voxels:
    """Put the vertices of a mesh into voxels.

    Args:
        vertices: float32 (V, 3), metres, world.
        rgb: uint8 (V, 3).
        voxel_size_m: voxel edge, metres.

    Returns:
        The voxels; none for a mesh without vertices.

    Raises:
        ValueError: a coordinate is not finite, or so far away that int32 cannot count voxels.

    Source: pri3d_family.md A.6. Deviations: floor instead of truncation toward zero, the mean
    colour instead of one arbitrary vertex's.
    """
    if not np.isfinite(vertices).all():
        raise ValueError("the mesh has vertices that are not finite; repair or fuse it again")
    points = vertices.astype(np.float64)
    low = points.min(axis=0) if len(points) else np.zeros(3)
    first = np.floor(low / voxel_size_m)
    if len(points) and (points.max(axis=0) / voxel_size_m - first).max() >= 2**31:
        raise ValueError(f"the mesh is too large for voxels of {voxel_size_m} m: remove outliers")
    # Cells are counted from the world's origin: `first` is whole, so no rounding can make one -1.
    _, cells, cell_of_vertex = assign_cells(points, np.zeros(3), voxel_size_m)
    order = np.lexsort(cells.T[::-1])
    coords = (cells[order] - first.astype(np.int64)).astype(np.int32)
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    vertex_voxel = rank[cell_of_vertex]
    counts = np.bincount(vertex_voxel, minlength=len(order))
    sums = [np.bincount(vertex_voxel, rgb[:, c], minlength=len(order)) for c in range(3)]
    mean = np.stack(sums, axis=1) / counts[:, None]
    grid_origin = first * voxel_size_m
    return Voxels(
        coords=coords,
        xyz_world=voxel_centres(coords, voxel_size_m, grid_origin),
        rgb=np.rint(mean).astype(np.uint8),
        n_vertices=counts.astype(np.int32),
        voxel_size_m=voxel_size_m,
        grid_origin=grid_origin,
        vertex_voxel=vertex_voxel,
    )


def voxel_centres(
    coords: Int32[np.ndarray, "m 3"], voxel_size_m: float, grid_origin: Float64[np.ndarray, "3"]
) -> Float32[np.ndarray, "m 3"]:
    """Centres of voxels, float32 (M, 3), metres, world."""
    return (grid_origin + (coords + 0.5) * voxel_size_m).astype(np.float32)
