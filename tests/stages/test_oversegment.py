import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline import layout
from pipeline.geometry.mesh import read_ply, write_ply
from pipeline.geometry.oversegmentation import oversegment
from pipeline.schemas import open_artifact, read_table, stored_metadata
from pipeline.stages.common import StageError
from pipeline.stages.oversegment import oversegment_scene
from tests.raw_room import POSES, raw_params


def rows(artifacts_dir: Path, kind: str):  # type: ignore[no-untyped-def]
    return read_table(layout.artifact(artifacts_dir, "room", kind), kind).to_pandas()


def test_segments(artifacts_dir: Path) -> None:
    segments, mesh = rows(artifacts_dir, "segments"), read_ply(layout.mesh(artifacts_dir, "room"))
    voxels = rows(artifacts_dir, "voxels")
    origin_cells = np.floor(mesh.vertices.astype(np.float64) / 0.1).astype(int)
    coords = np.stack(voxels["voxel_coords"]) + origin_cells.min(axis=0)
    row_of = {tuple(cell): row for row, cell in enumerate(coords.tolist())}
    for k in (0.01, 0.5):
        of_k = segments[segments["k"] == np.float32(k)]
        vertex = of_k[of_k["element"] == "vertex"]
        np.testing.assert_array_equal(vertex["vertex_index"], np.arange(len(mesh.vertices)))
        expected = oversegment(mesh.vertices, mesh.faces, k, 20)
        np.testing.assert_array_equal(vertex["segment_id"], expected)
        voxel = of_k[of_k["element"] == "voxel"]["segment_id"].to_numpy()
        votes: dict[int, Counter] = {}
        for cell, segment in zip(origin_cells.tolist(), expected.tolist(), strict=True):
            votes.setdefault(row_of[tuple(cell)], Counter())[segment] += 1
        assert len(votes) == len(voxel) == len(voxels)
        for row, count in votes.items():
            best = max(count.values())
            assert voxel[row] == min(segment for segment in count if count[segment] == best)


def test_sets(artifacts_dir: Path) -> None:
    sets, matches = rows(artifacts_dir, "sets"), rows(artifacts_dir, "correspondences")
    segments = rows(artifacts_dir, "segments")
    segments = segments[segments["element"] == "voxel"]
    assert set(sets["frame_id"]) == set(POSES)
    assert set(sets["set_source"]) == {"0.01", "0.5"}
    for (frame_id, source), found in sets.groupby(["frame_id", "set_source"]):
        per_voxel = segments[segments["k"] == np.float32(source)]["segment_id"].to_numpy()
        seen = matches[matches["frame_id"] == frame_id]
        expected = Counter(per_voxel[seen["voxel_index"]].tolist())
        assert dict(zip(found["set_id"], found["n_pixels"], strict=True)) == expected


def test_settings_in_the_metadata(artifacts_dir: Path) -> None:
    """The sets depend on the segments' settings, the segments not on those of the sets."""
    settings = {}
    for kind in ("segments", "sets"):
        parquet = open_artifact(layout.artifact(artifacts_dir, "room", kind), kind)
        settings[kind] = set(stored_metadata(parquet))
    of_segments, of_sets = {"k", "min_vertices"}, {"projection", "min_pixels"}
    assert settings["segments"] >= of_segments
    assert settings["sets"] - settings["segments"] == of_sets


@pytest.fixture
def copy(artifacts_dir: Path, tmp_path: Path) -> Path:
    """A copy of the artifacts that may be changed."""
    return Path(shutil.copytree(artifacts_dir, tmp_path / "copy"))


def test_label_sets_of_a_labelled_mesh(raw_dir: Path, copy: Path) -> None:
    """The floor's class is 1; everything else is ignored."""
    mesh = read_ply(layout.mesh(copy, "room"))
    label = np.where(mesh.vertices[:, 2] < 0.2, 1, 255).astype(np.uint16)
    write_ply(layout.mesh(copy, "room"), replace(mesh, label=label))
    oversegment_scene(raw_params(raw_dir), "room", copy)
    sets = rows(copy, "sets")
    labels = sets[sets["set_source"] == "labels"]
    assert set(labels["set_id"]) == {1}
    assert 0 < labels["n_pixels"].max() < 24 * 32


def test_small_sets_are_left_out(raw_dir: Path, copy: Path) -> None:
    params = raw_params(raw_dir)
    sets = params.geometry.sets.model_copy(update={"min_pixels": 50})
    geometry = params.geometry.model_copy(update={"sets": sets})
    before = rows(copy, "sets")
    oversegment_scene(params.model_copy(update={"geometry": geometry}), "room", copy)
    after = rows(copy, "sets")
    assert 0 < len(after) < len(before)
    assert after["n_pixels"].min() >= 50


def test_a_mesh_of_other_voxels_is_an_error(raw_dir: Path, copy: Path) -> None:
    mesh = read_ply(layout.mesh(copy, "room"))
    moved = (mesh.vertices * np.float32(1.5)).astype(np.float32)
    write_ply(layout.mesh(copy, "room"), replace(mesh, vertices=moved))
    with pytest.raises(StageError, match=r"mesh\.ply: the voxels table is of another mesh"):
        oversegment_scene(raw_params(raw_dir), "room", copy)
    layout.mesh(copy, "room").unlink()
    with pytest.raises(StageError, match="make it again with extract-frames"):
        oversegment_scene(raw_params(raw_dir), "room", copy)


def test_ray_cast_sets_keep_their_pixels(raw_dir: Path, copy: Path) -> None:
    """In a closed room every ray meets the mesh, and where depth and mesh agree so do the sets."""
    params = raw_params(raw_dir)
    sets = params.geometry.sets.model_copy(update={"projection": "ray_casting"})
    geometry = params.geometry.model_copy(update={"sets": sets})
    by_voxel = rows(copy, "sets")
    assert by_voxel["pixels"].isna().all()
    oversegment_scene(params.model_copy(update={"geometry": geometry}), "room", copy)
    cast, matches = rows(copy, "sets"), rows(copy, "correspondences")
    segments = rows(copy, "segments")
    segments = segments[(segments["element"] == "voxel") & (segments["k"] == np.float32(0.5))]
    per_voxel = segments["segment_id"].to_numpy()
    same = total = 0
    for frame_id, of_frame in cast[cast["set_source"] == "0.5"].groupby("frame_id"):
        shown = np.full(24 * 32, -1)
        for row in of_frame.itertuples():
            assert len(row.pixels) == row.n_pixels
            assert (np.diff(row.pixels) > 0).all()
            assert (shown[row.pixels] == -1).all()  # a pixel shows one set
            shown[row.pixels] = row.set_id
        of_matches = matches[matches["frame_id"] == frame_id]
        pixel, voxel = of_matches["pixel"].to_numpy(), of_matches["voxel_index"].to_numpy()
        same += np.count_nonzero(shown[pixel] == per_voxel[voxel])
        total += len(pixel)
    assert total > 1000
    assert same > 0.9 * total
