"""Mesh, voxels and segments: each invariant broken by itself."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.geometry.mesh import read_ply, write_ply
from pipeline.schemas import open_artifact, read_table, stored_metadata
from pipeline.stages.oversegment import oversegment_scene
from tests.raw_room import raw_params
from tests.reporting.validation.broken import (
    Change,
    Groups,
    keep,
    one_violation,
    rewrite,
    setting,
    violations,
)


def test_mesh(folder: Path) -> None:
    file = folder / "mesh.ply"
    mesh = read_ply(file)
    assert violations(folder, "mesh") == []

    vertices = mesh.vertices.copy()
    vertices[[4, 6], 1] = np.nan
    write_ply(file, replace(mesh, vertices=vertices))
    (found,) = violations(folder, "mesh")
    assert found.startswith("mesh.ply, vertices, row 4: must be finite, is [")
    assert found.endswith(f"; so are 1 more of {len(vertices)} rows")

    faces = mesh.faces.copy()
    faces[0, 0] = len(vertices)
    write_ply(file, replace(mesh, faces=faces))
    assert violations(folder, "mesh")[0].startswith("mesh.ply: faces name vertices beyond")

    file.write_bytes(file.read_bytes()[:-5])
    assert violations(folder, "mesh")[0].startswith("mesh.ply: truncated")
    file.unlink()
    assert violations(folder, "mesh")[0].startswith("mesh.ply: cannot be read")


def scaled_count(groups: Groups) -> None:
    """One vertex moves from a voxel to another: their sum stays."""
    crowded = next(row for row in groups[0] if row["n_vertices"] > 1)
    crowded["n_vertices"] -= 1
    next(row for row in groups[0] if row is not crowded)["n_vertices"] += 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (setting(0, 3, voxel_index=2), "row 3: voxel_index must be the row's number, is 2"),
        (setting(0, 3, xyz_world=[0.0, 0, 0]), "row 3: xyz_world must be grid_origin + "),
        (setting(0, 3, rgb=[1, 2, 3]), "row 3: rgb must be the mean colour"),
        (scaled_count, "n_vertices must be the mesh's vertices in the voxel, at least 1, is "),
        (setting(0, 0, n_vertices=0), "row 0: n_vertices must be the mesh's vertices"),
        (setting(0, 0, n_vertices=500), "row 0: n_vertices must be the mesh's vertices"),
    ],
)
def test_voxels(folder: Path, change: Change, expected: str) -> None:
    one_violation(folder, "voxels", change, expected)


def swap_cells(groups: Groups) -> None:
    rows = groups[0]
    for name in ("voxel_coords", "xyz_world", "rgb", "n_vertices"):
        rows[5][name], rows[6][name] = rows[6][name], rows[5][name]


def repeat_cell(groups: Groups) -> None:
    rows = groups[0]
    rows[6] |= {name: rows[5][name] for name in ("voxel_coords", "xyz_world", "rgb")}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (swap_cells, "row 5: the next row's voxel_coords must be larger"),
        (repeat_cell, "row 5: the next row's voxel_coords must be larger"),
        (setting(0, 0, voxel_coords=[-1, 0, 0]), "row 0: voxel_coords must not be negative"),
        (setting(0, 0, voxel_coords=[None, 0, 0]), "1 numbers are null"),
        (lambda groups: groups[0].pop(), "vertices of mesh.ply are in no voxel, first vertex "),
        (lambda groups: groups.clear(), "vertices of mesh.ply are in no voxel, first vertex "),
    ],
)
def test_cells_that_the_mesh_does_not_give(folder: Path, change: Change, expected: str) -> None:
    """What contradicts the mesh, too, makes a second violation."""
    rewrite(folder, "voxels", change)
    assert any(expected in found for found in violations(folder, "voxels"))


def test_another_grid(folder: Path) -> None:
    rewrite(folder, "voxels", keep, grid_origin="[0.0, 0.0, 0.0]")
    found = violations(folder, "voxels")
    assert "xyz_world must be grid_origin" in found[0]
    assert "vertices of mesh.ply are in no voxel" in found[-1]
    rewrite(folder, "voxels", keep, grid_origin="[0.01, 0.0, 0.0]")
    found = violations(folder, "voxels")
    assert "metadata: grid_origin must be whole voxels, is [0.01, 0.0, 0.0]" in found[1]
    rewrite(folder, "voxels", keep, grid_origin="nowhere")
    assert violations(folder, "voxels") == [
        "voxels.parquet: its metadata have grid_origin = 'nowhere'"
    ]
    rewrite(folder, "voxels", keep, voxel_size_m="0")
    assert violations(folder, "voxels") == ["voxels.parquet: its metadata have voxel_size_m = '0'"]
    rewrite(folder, "voxels", keep, grid_origin=None, voxel_size_m="0.1")
    assert violations(folder, "voxels") == ["voxels.parquet: its metadata have no grid_origin"]


def test_a_grid_that_begins_too_low(folder: Path) -> None:
    """Moved by a whole voxel along x, all values but the coordinates stay."""
    file = folder / "voxels.parquet"
    x, *others = json.loads(stored_metadata(open_artifact(file, "voxels"))["grid_origin"])
    low = (np.rint(x / 0.1) - 1) * 0.1

    def change(groups: Groups) -> None:
        for row in groups[0]:
            row["voxel_coords"][0] += 1
            row["xyz_world"][0] = low + (row["voxel_coords"][0] + 0.5) * 0.1

    rewrite(folder, "voxels", change, grid_origin=json.dumps([low, *others]))
    (found,) = violations(folder, "voxels")
    assert "voxel_coords must begin at 0 along every axis; they do at [1, 0, 0]" in found


# The row groups of the segments: two k of the vertices, then the same k of the voxels.


def move_vertex(groups: Groups) -> None:
    """A vertex far from segment 0 joins it; that of its own keeps others."""
    rows = groups[1]
    of_own = [row["segment_id"] for row in rows]
    far = max(i for i, s in enumerate(of_own) if s != 0 and of_own.count(s) > 100)
    rows[far]["segment_id"] = 0


def split_small(groups: Groups) -> None:
    """A corner of a face becomes a segment of its own, below min_vertices."""
    rows = groups[1]
    rows[-1]["segment_id"] = max(row["segment_id"] for row in rows) + 1


def skip_id(groups: Groups) -> None:
    for row in groups[1]:
        row["segment_id"] += row["segment_id"] > 0


def shift_index(groups: Groups) -> None:
    for row in groups[1]:
        row["vertex_index"] += 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda groups: groups.pop(3), "k 0.5, voxel: is missing"),
        (lambda groups: groups.append(groups[3]), "k 0.5, voxel: stands twice"),
        (lambda groups: groups[3].pop(), "k 0.5, voxel: vertex_index must be 0.."),
        (setting(1, 7, element="voxel"), "row group 1: must hold one k and one element"),
        (setting(3, 7, segment_id=99), "k 0.5, voxel, row 7: segment_id must be the commonest"),
    ],
)
def test_segments(folder: Path, change: Change, expected: str) -> None:
    rewrite(folder, "segments", change)
    found = violations(folder, "segments")
    assert expected in found[0]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (shift_index, "k 0.5, vertex: vertex_index must be 0.."),
        (setting(1, 7, segment_id=-2), "k 0.5, vertex, row 7: segment_id must be 0..S-1, or -1"),
        (setting(1, 7, segment_id=2**31 - 1), "k 0.5, vertex, row 7: segment_id must be 0..S-1"),
        (skip_id, "k 0.5, vertex: segment_id must be dense: 0.."),
        (move_vertex, "k 0.5, vertex, segments, row 0: must be connected"),
        (split_small, "must have 20 vertices (min_vertices), or be a piece of its own, is 1"),
    ],
)
def test_partitions(folder: Path, change: Change, expected: str) -> None:
    """Voxels are compared with the vertices, so that they may differ, too."""
    rewrite(folder, "segments", change)
    found = [line for line in violations(folder, "segments") if "k 0.5, vertex" in line]
    assert len(found) == 1, found
    assert expected in found[0]


def test_a_small_piece_of_its_own_is_no_violation(raw_dir: Path, folder: Path) -> None:
    """A triangle without the faces around it."""
    mesh = read_ply(folder / "mesh.ply")
    is_apart = ~np.isin(mesh.faces, mesh.faces[9]).any(axis=1)
    is_apart[9] = True
    write_ply(folder / "mesh.ply", replace(mesh, faces=mesh.faces[is_apart]))
    oversegment_scene(raw_params(raw_dir), "room", folder.parent)
    segments = read_table(folder / "segments.parquet", "segments").to_pandas()
    sizes = segments[segments["element"] == "vertex"].groupby(["k", "segment_id"]).size()
    assert 3 in set(sizes)
    assert violations(folder, "segments") == []
