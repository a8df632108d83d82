"""Invariants of the mesh, its voxels and its segments."""

import json

import numpy as np
import pyarrow.compute as pc
from jaxtyping import Int32
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from pipeline.geometry.projection import majority_per_voxel
from pipeline.geometry.voxels import voxel_centres
from pipeline.reporting.validation.findings import Findings
from pipeline.reporting.validation.scene import StoredScene
from pipeline.reporting.validation.values import numbers


def check_mesh(scene: StoredScene, found: Findings) -> None:
    """It is readable, which includes faces of existing vertices, and its vertices are finite."""
    vertices = scene.mesh.vertices
    found.rows("vertices", ~np.isfinite(vertices), "must be finite", vertices)


def check_voxels(scene: StoredScene, found: Findings) -> None:
    """Cells are counted, sorted, placed by the grid, and those that the mesh gives."""
    voxels, table = scene.voxels, scene.whole("voxels")
    coords, size_m, origin = voxels.coords, voxels.voxel_size_m, voxels.grid_origin
    index, n_vertices = (table[name].to_numpy() for name in ("voxel_index", "n_vertices"))
    xyz_world, rgb = (scene.vectors("voxels", table[name]) for name in ("xyz_world", "rgb"))
    found.rows("", index != np.arange(len(index)), "voxel_index must be the row's number", index)
    found.rows("", coords < 0, "voxel_coords must not be negative", coords)
    step = np.diff(coords.astype(np.int64), axis=0)
    leading = step[np.arange(len(step)), (step != 0).argmax(axis=1)]
    found.rows("", leading <= 0, "the next row's voxel_coords must be larger", coords[:-1])
    what = "xyz_world must be grid_origin + (voxel_coords + 0.5) voxel_size_m"
    found.rows("", xyz_world != voxel_centres(coords, size_m, origin), what, xyz_world)
    if (np.rint(origin / size_m) * size_m != origin).any():
        found.add("metadata", f"grid_origin must be whole voxels, is {origin.tolist()}")
    if len(coords) and (low := coords.min(axis=0)).any():
        found.add("", f"voxel_coords must begin at 0 along every axis; they do at {low.tolist()}")

    n_seen = np.bincount(scene.vertex_voxel, minlength=len(coords))
    what = "n_vertices must be the mesh's vertices in the voxel, at least 1"
    found.rows("", (n_vertices != n_seen) | (n_seen == 0), what, n_vertices)
    sums = [np.bincount(scene.vertex_voxel, c, minlength=len(coords)) for c in scene.mesh.rgb.T]
    mean = np.rint(np.stack(sums, axis=1) / np.maximum(n_seen, 1)[:, None])
    what = "rgb must be the mean colour of the mesh's vertices in the voxel"
    found.rows("", rgb != mean, what, rgb)


def check_segments(scene: StoredScene, found: Findings) -> None:
    """Every k has all vertices and all voxels; segments are connected, and not too small."""
    ks = scene.setting("segments", "k", lambda text: numbers(json.loads(text), -1))
    needed = {(np.float32(k), element) for k in ks for element in ("vertex", "voxel")}
    per_vertex: dict[np.float32, np.ndarray] = {}
    done = set()
    for group, table in enumerate(scene.groups("segments")):
        k, element = table["k"].to_numpy(), pc.unique(table["element"]).to_pylist()
        index, ids = (table[name].to_numpy() for name in ("vertex_index", "segment_id"))
        if not len(k) or (k != k[0]).any() or len(element) != 1:
            found.add(f"row group {group}", "must hold one k and one element")
            continue
        key, where = (k[0], element[0]), f"k {k[0]:g}, {element[0]}"
        if key not in needed or key in done:
            found.add(where, "stands twice" if key in done else "is not of the metadata's k")
            continue
        done.add(key)
        n = len(scene.mesh.vertices) if element[0] == "vertex" else len(scene.voxels)
        if len(index) != n or (index != np.arange(n)).any():
            found.add(where, f"vertex_index must be 0..{n - 1}, one row each")
        elif element[0] == "vertex":
            per_vertex[k[0]] = ids
            _check_partition(scene, ids, where, found)
        elif k[0] in per_vertex:
            majority = majority_per_voxel(per_vertex[k[0]], scene.vertex_voxel, len(scene.voxels))
            what = "segment_id must be the commonest among the voxel's vertices"
            found.rows(where, ids != majority, what, ids)
    for k, element in sorted(needed - done):
        found.add(f"k {k:g}, {element}", "is missing")


def _check_partition(
    scene: StoredScene, ids: Int32[np.ndarray, " v"], where: str, found: Findings
) -> None:
    """Ids are dense; a segment is connected, and smaller than the minimum only if it is a piece."""
    is_no_id = (ids < -1) | (ids >= len(ids))
    if not found.rows(where, is_no_id, "segment_id must be 0..S-1, or -1", ids):
        return
    sizes = np.bincount(ids[ids >= 0])
    if (sizes == 0).any():
        n, unused = len(sizes), int((sizes == 0).argmax())
        found.add(where, f"segment_id must be dense: 0..{n - 1} occur without {unused}")
        return
    faces = scene.mesh.faces
    edges = np.concatenate([faces[:, pair] for pair in ([0, 1], [1, 2], [0, 2])])
    is_inside = ids[edges[:, 0]] == ids[edges[:, 1]]
    _, first_of_piece = np.unique(_components(edges[is_inside], len(ids)), return_index=True)
    owner = ids[first_of_piece]
    n_pieces = np.bincount(owner[owner >= 0], minlength=len(sizes))
    found.rows(f"{where}, segments", n_pieces > 1, "must be connected by the mesh's edges")

    has_neighbour = np.zeros(len(sizes), bool)
    beside = ids[edges[~is_inside]]
    has_neighbour[beside[beside >= 0]] = True
    minimum = scene.setting("segments", "min_vertices", int)
    what = f"must have {minimum} vertices (min_vertices), or be a piece of its own"
    found.rows(f"{where}, segments", (sizes < minimum) & has_neighbour, what, sizes)


def _components(edges: Int32[np.ndarray, "e 2"], n: int) -> Int32[np.ndarray, " n"]:
    """Number of the connected component of each of n vertices."""
    ones = np.ones(len(edges), bool)
    return connected_components(coo_matrix((ones, edges.T), (n, n)), directed=False)[1]
