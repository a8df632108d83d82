"""Fusion of depth frames into a mesh, for scenes that ship none."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from pipeline.geometry.mesh import Mesh

#: depth (H, W) in metres, rgb (H, W, 3) at the same size, K, T_world_camera.
FusionFrame = tuple[
    Float32[np.ndarray, "h w"],
    UInt8[np.ndarray, "h w 3"],
    Float64[np.ndarray, "3 3"],
    Float64[np.ndarray, "4 4"],
]

#: Truncation of the signed distance in voxels: wide enough for a Kinect's noise at 4 m, narrow
#: enough that the two sides of a table top do not cancel out (Open3D's default: 8).
TRUNCATION_VOXELS = 4.0
#: Open3D finds the pixel of a point by truncation, so its pixel centres are at .5; ours are
#: integers. Without this shift of K a slanted wall is off by half a pixel's step in depth.
HALF_PIXEL = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
#: Voxels along one side of a block; small blocks hold less empty space than Open3D's 16.
BLOCK_RESOLUTION = 8
#: Blocks held at the start; the hash map grows by itself.
INITIAL_BLOCKS = 4_000
#: float32 distance, weight and three colours.
_BYTES_PER_BLOCK = BLOCK_RESOLUTION**3 * 4 * 5
#: Growing copies the hash map, so the peak is about four times this.
MAX_GRID_BYTES = 2 * 1024**3


class FusionError(ValueError):
    """No mesh can be fused; the text says why."""


def fuse_mesh(
    frames: Iterable[FusionFrame], voxel_size_m: float, depth_max_m: float, min_weight: float
) -> Mesh:
    """Fuse posed depth frames into one coloured mesh.

    Args:
        frames: (depth float32 (H, W) metres along z with 0 or NaN invalid, rgb uint8 (H, W, 3) at
            the depth's size, K float64 (3, 3) pixels, T_world_camera float64 (4, 4)); read once,
            one at a time.
        voxel_size_m: Edge of a voxel, metres.
        depth_max_m: Depth beyond this is not fused, metres.
        min_weight: Observations a surface needs; fewer frames than this give no mesh.

    Returns:
        Mesh in world coordinates. Its vertices are sorted by coordinates, so that the result does
        not depend on the order of threads; coinciding vertices are joined, faces without area
        and vertices without faces dropped.

    Raises:
        FusionError: the mesh is empty, or the volume does not fit in memory.

    Source: Curless and Levoy 1996 by Open3D's VoxelBlockGrid (its ScalableTSDFVolume silently
        returns an empty mesh: spec geometry_reference.md section 2).
    """
    # Importing Open3D takes seconds, and only scenes without a mesh need it.
    import open3d as o3d

    core, image, tensor = o3d.core, o3d.t.geometry.Image, o3d.core.Tensor.from_numpy
    grid = o3d.t.geometry.VoxelBlockGrid(
        ("tsdf", "weight", "color"),
        (core.float32,) * 3,
        [core.SizeVector([channels]) for channels in (1, 1, 3)],
        voxel_size_m,
        BLOCK_RESOLUTION,
        INITIAL_BLOCKS,
    )
    n_frames = n_fused = 0
    for depth, rgb, K, T_world_camera in frames:
        n_frames += 1
        valid = (depth > 0) & (depth <= depth_max_m)
        if not valid.any():
            continue
        depth_image = image(tensor(np.where(valid, depth, np.float32(0))))
        color_image = image(tensor(rgb.astype(np.float32) / 255))
        intrinsics = tensor(K + HALF_PIXEL)
        T_camera_world = tensor(np.linalg.inv(T_world_camera))
        view = (intrinsics, T_camera_world, 1.0, float(depth_max_m), TRUNCATION_VOXELS)
        blocks = grid.compute_unique_block_coordinates(depth_image, *view)
        grid.integrate(blocks, depth_image, color_image, intrinsics, *view)
        n_fused += 1
        _check_memory(grid.hashmap().size() * _BYTES_PER_BLOCK, voxel_size_m)
    mesh = _extract(grid, min_weight) if n_fused else None
    if mesh is None or not len(mesh.faces):
        raise FusionError(
            f"the fused mesh is empty: {n_fused} of {n_frames} frames have depth within "
            f"{depth_max_m} m, and a surface must be seen {min_weight:g} times; "
            "lower fusion.min_weight or frame_stride, or raise fusion.depth_max_m"
        )
    return mesh


def _check_memory(grid_bytes: int, voxel_size_m: float) -> None:
    if grid_bytes > MAX_GRID_BYTES:
        raise FusionError(
            f"the fused volume exceeds {MAX_GRID_BYTES / 1024**3:.0f} GiB at voxels of "
            f"{voxel_size_m} m; raise fusion.voxel_size_m, or check that the poses are in metres"
        )


def _extract(grid: Any, min_weight: float) -> Mesh:
    # Open3D keeps weights above its threshold; ours counts observations, so equality is enough.
    threshold = float(np.nextafter(np.float32(min_weight), np.float32(0)))
    extracted = grid.extract_triangle_mesh(threshold)
    if not {"positions", "colors"} <= set(extracted.vertex) or "indices" not in extracted.triangle:
        empty = np.empty((0, 3))
        return Mesh(empty.astype(np.float32), empty.astype(np.int32), empty.astype(np.uint8))
    rgb = np.rint(np.clip(extracted.vertex.colors.numpy(), 0, 1) * 255).astype(np.uint8)
    return tidy_mesh(
        Mesh(extracted.vertex.positions.numpy(), extracted.triangle.indices.numpy(), rgb)
    )


def tidy_mesh(mesh: Mesh) -> Mesh:
    """Join coinciding vertices, drop what has no area, and sort vertices and faces.

    Args:
        mesh: Any mesh without labels; the order of its vertices and faces does not matter.

    Returns:
        The same surface, with vertices sorted by x, y, z and faces by their indices, each face
        starting at its smallest index with its orientation kept.
    """
    # Ties are broken by colour, so that the vertex that stays does not depend on the input order.
    order = np.lexsort((*mesh.rgb.T[::-1], *mesh.vertices.T[::-1]))
    vertices, rgb = mesh.vertices[order], mesh.rgb[order]
    is_new = np.ones(len(vertices), bool)
    is_new[1:] = (vertices[1:] != vertices[:-1]).any(1)
    place = np.empty(len(order), np.int64)
    place[order] = np.cumsum(is_new) - 1
    vertices, rgb, faces = vertices[is_new], rgb[is_new], place[mesh.faces]

    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    faces = faces[(normals != 0).any(1)]

    used = np.zeros(len(vertices), bool)
    used[faces] = True
    faces = (np.cumsum(used) - 1)[faces]
    turn = (faces.argmin(1)[:, None] + np.arange(3)) % 3
    faces = np.take_along_axis(faces, turn, 1)
    faces = faces[np.lexsort(faces.T[::-1])].astype(np.int32)
    return Mesh(vertices[used], faces, rgb[used])
