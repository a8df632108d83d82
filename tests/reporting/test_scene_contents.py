"""What pictures and recordings show, against the tables that hold the same in another form."""

import shutil
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import layout
from pipeline.geometry.mesh import read_ply, write_ply
from pipeline.reporting.scene_contents import Matching, SceneContents, stored_matching
from pipeline.reporting.scene_pictures import _ticks
from pipeline.schemas import ArtifactError, read_table
from pipeline.stages.oversegment import oversegment_scene
from tests.raw_room import POSES, raw_params
from tests.reporting.conftest import SCENE


@pytest.fixture(scope="module")
def contents(repository_of_raw_room: Path) -> SceneContents:
    return SceneContents(repository_of_raw_room / layout.artifacts_dir("rooms"), SCENE)


@pytest.fixture(scope="module", params=["voxel_map", "ray_casting"])
def set_contents(
    artifacts_dir: Path,
    raw_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> SceneContents:
    """The same scene, the floor of its mesh labelled, its sets by either projection."""
    out = tmp_path_factory.mktemp("sets")
    shutil.copytree(artifacts_dir / "room", out / "room")
    mesh = read_ply(layout.mesh(out, "room"))
    label = np.where(mesh.vertices[:, 2] < 0.2, 1, 255).astype(np.uint16)
    write_ply(layout.mesh(out, "room"), replace(mesh, label=label))
    params = raw_params(raw_dir)
    changes = {"projection": request.param, "min_pixels": 30}
    sets = params.geometry.sets.model_copy(update=changes)
    geometry = params.geometry.model_copy(update={"sets": sets})
    oversegment_scene(params.model_copy(update={"geometry": geometry}), "room", out)
    assert SceneContents(out, "room").are_sets_cast() == (request.param == "ray_casting")
    return SceneContents(out, "room")


def stored(contents: SceneContents, kind: str) -> pd.DataFrame:
    return read_table(layout.artifact(contents.artifacts, contents.scene, kind), kind).to_pandas()


def test_frames_and_poses(contents: SceneContents) -> None:
    assert contents.frame_ids == list(POSES)
    np.testing.assert_allclose(contents.poses, np.stack(list(POSES.values())), atol=1e-6)
    assert contents.label(2) is not None  # every other frame has one
    assert contents.label(1) is None


def test_sets_of_a_pair_have_one_number_in_both_frames(contents: SceneContents) -> None:
    of_frame = [contents.frame_sets(frame_id)["0.01"] for frame_id in (0, 5)]
    seen_a, seen_b = (set(set_id.tolist()) for _, set_id in of_frame)
    common = sorted(seen_a & seen_b)
    assert 1 < len(common) < len(seen_a | seen_b)
    found = contents.pair_sets(0, 5, "0.01")
    for (pixel, number), (expected, set_id) in zip(found, of_frame, strict=True):
        assert pixel.tolist() == expected.tolist()
        assert number.tolist() == [common.index(i) if i in common else -1 for i in set_id.tolist()]
    with pytest.raises(ArtifactError, match=r"no sets of source 0\.3"):
        contents.pair_sets(0, 5, "0.3")


def test_frames_per_voxel(contents: SceneContents) -> None:
    seen_by = defaultdict(set)
    for row in stored(contents, "correspondences").itertuples():
        seen_by[row.voxel_index].add(row.frame_id)
    expected = [len(seen_by[i]) for i in range(len(contents.voxels().coords))]
    assert contents.frames_per_voxel().tolist() == expected


def test_pixels_of_sets_are_as_many_as_the_table_says(set_contents: SceneContents) -> None:
    table = stored(set_contents, "sets")
    assert set(table["set_source"]) == {"0.01", "0.5", "labels"}
    assert table["n_pixels"].min() >= 30
    for frame_id in set_contents.frame_ids:
        of_frame = table[table["frame_id"] == frame_id]
        shown = set_contents.frame_sets(frame_id)
        assert set(shown) == set(of_frame["set_source"])
        for source, (pixel, set_id) in shown.items():
            counts = {i: len(np.unique(pixel[set_id == i])) for i in np.unique(set_id) if i >= 0}
            rows = of_frame[of_frame["set_source"] == source]
            assert counts == dict(zip(rows["set_id"], rows["n_pixels"], strict=True))
            for row in rows.itertuples():
                if set_contents.are_sets_cast():
                    np.testing.assert_array_equal(pixel[set_id == row.set_id], row.pixels)


@pytest.mark.parametrize("set_contents", ["voxel_map"], indirect=True)
def test_label_sets_of_another_mesh_are_an_error(
    set_contents: SceneContents, tmp_path: Path
) -> None:
    shutil.copytree(set_contents.artifacts / "room", tmp_path / "room")
    mesh = read_ply(layout.mesh(tmp_path, "room"))
    moved = replace(mesh, vertices=(mesh.vertices * np.float32(1.5)).astype(np.float32))
    for other in (replace(mesh, label=None), moved):
        write_ply(layout.mesh(tmp_path, "room"), other)
        with pytest.raises(ArtifactError, match=r"mesh\.ply: the sets are of another mesh"):
            SceneContents(tmp_path, "room").frame_sets(0)


def test_overlap_matrix(contents: SceneContents) -> None:
    frame_ids, directed = contents.overlap_matrix()
    assert frame_ids.tolist() == list(POSES)
    assert (np.diag(directed) == 1).all()
    for row in stored(contents, "overlaps").itertuples():
        assert directed[row.frame_a, row.frame_b] == row.overlap_ab
        assert directed[row.frame_b, row.frame_a] == row.overlap_ba
        assert contents.overlap(row.frame_b, row.frame_a) == row.overlap


def test_match_definitions() -> None:
    file = Path("correspondences.parquet")
    strict = {"matching_mode": "strict", "radius_m": "0.05"}
    assert stored_matching(strict, file) == Matching("strict", 0.05, 0.05)
    pri3d = {"matching_mode": "pri3d", "pri3d_pixel_z_m": "0.05", "pri3d_voxel_z_m": "0.2"}
    assert stored_matching(pri3d, file) == Matching("pri3d", 0.05, 0.2)
    with pytest.raises(ArtifactError, match=r"correspondences\.parquet.*match definition"):
        stored_matching({}, file)


def test_missing_mesh_is_named(contents: SceneContents, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"mesh\.ply.*extract-frames"):
        SceneContents(tmp_path, "nowhere").mesh()


@pytest.mark.parametrize(
    "frame_ids", [np.arange(5) * 25, np.arange(300) * 25 + 7, np.arange(0, 900, 3)]
)
def test_labels_of_a_matrix_are_few_and_in_place(frame_ids: np.ndarray) -> None:
    places, labels = _ticks(frame_ids)
    assert 3 <= len(labels) <= 13
    np.testing.assert_allclose(np.interp(places, np.arange(len(frame_ids)), frame_ids), labels)
    assert len(np.unique(np.diff(labels))) == 1
