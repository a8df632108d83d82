"""`inspect --rerun`: the recording read back, against the analytic room and its artifacts."""

import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline import layout
from pipeline.__main__ import main
from pipeline.reporting.scene_contents import SceneContents
from pipeline.stages.inspect_scene import RERUN
from tests.raw_room import POSES, SPOILED, TRAINING_SIZE
from tests.reporting.conftest import SCENE
from tests.room import LOWER, UPPER

ROOT = Path(__file__).parents[2]
A, B = 1, 3
RADIUS_M = 0.1


@pytest.fixture(scope="module")
def contents(repository_of_raw_room: Path) -> SceneContents:
    return SceneContents(repository_of_raw_room / layout.artifacts_dir("rooms"), SCENE)


Entities = dict[str, dict[str, list]]


@pytest.fixture(scope="module")
def entities(contents: SceneContents, tmp_path_factory: pytest.TempPathFactory) -> Entities:
    """Entity -> component -> its values in the order of the timeline, as rerun reads them."""
    chunk = pytest.importorskip(
        "rerun.chunk", reason=f"the recording needs the extra `rerun`: pip install '{RERUN}'"
    )
    out = tmp_path_factory.mktemp("recording")
    scene, file = layout.scene_dir(contents.artifacts, contents.scene), out / "scene.rrd"
    options = ["--rerun", str(file), "--pair", str(A), str(B), "--out", str(out)]
    assert main(["inspect", str(scene), *options]) == 0
    assert {path.name for path in out.iterdir()} == {"pair_1_3.png", "scene.rrd"}
    tables: dict[str, list[pa.Table]] = defaultdict(list)
    for part in chunk.RrdReader(str(file)).stream():
        tables[part.entity_path].append(pa.Table.from_batches([part.to_record_batch()]))
    result: Entities = {}
    for entity, parts in tables.items():
        table = pa.concat_tables(parts, promote_options="default")
        if "frame_id" in table.column_names:
            table = table.sort_by("frame_id")
        result[entity] = {name: table[name].to_pylist() for name in table.column_names}
    return result


def values(entities: Entities, entity: str, component: str) -> list:
    """A component's values where it was logged."""
    return [value for value in entities[entity][component] if value is not None]


def test_entities(entities: Entities) -> None:
    assert {entity for entity in entities if not entity.startswith("/__")} == {
        "/frames",
        "/world",
        "/world/voxels",
        "/world/segments/k_0.01",
        "/world/segments/k_0.5",
        "/world/path",
        "/world/camera",
        "/world/camera/image",
        "/world/camera/image/color",
        "/world/camera/image/depth",
        "/world/pair/matches",
        *(f"/world/pair/{view}{part}" for view in "ab" for part in ("", "/image")),
        *(f"/world/pair/{view}/image/{kind}" for view in "ab" for kind in ("color", "matches")),
    }


def test_surfaces(entities: Entities, contents: SceneContents) -> None:
    (points,) = values(entities, "/world/voxels", "Points3D:positions")
    np.testing.assert_array_equal(points, contents.voxels().xyz_world)
    assert values(entities, "/world/voxels", "Points3D:radii") == [[pytest.approx(0.05)]]
    mesh = contents.mesh()
    for k in contents.k_values:
        (faces,) = values(entities, f"/world/segments/k_{k:g}", "Mesh3D:triangle_indices")
        (colours,) = values(entities, f"/world/segments/k_{k:g}", "Mesh3D:vertex_colors")
        np.testing.assert_array_equal(faces, mesh.faces)
        # One colour a segment, and another for each.
        pairs = np.stack([contents.segments(k, "vertex"), np.array(colours)], axis=1)
        assert len(np.unique(pairs, axis=0)) == len(np.unique(pairs[:, 0]))
        assert len(np.unique(pairs[:, 1])) == len(np.unique(pairs[:, 0]))


def test_frames_on_the_timeline(entities: Entities) -> None:
    assert entities["/world/camera"]["frame_id"] == list(POSES)
    assert len(values(entities, "/world/camera/image/color", "EncodedImage:blob")) == len(POSES)
    assert entities["/world/camera/image/depth"]["frame_id"] == [*POSES, *SPOILED]
    assert len(values(entities, "/world/camera/image/depth", "DepthImage:buffer")) == len(POSES)
    assert entities["/frames"]["frame_id"] == list(SPOILED)
    (text,) = entities["/frames"]["TextLog:text"][0]
    assert text.startswith("frame 8, no_pose: ")


def test_depth_lies_on_the_walls(entities: Entities) -> None:
    """Pose, pinhole and depth, as they were logged, give back the room that was rendered."""
    for i in range(len(POSES)):
        (translation,) = entities["/world/camera"]["Transform3D:translation"][i]
        (rotation,) = entities["/world/camera"]["Transform3D:mat3x3"][i]
        (K,) = entities["/world/camera/image"]["Pinhole:image_from_camera"][i]
        depth = values(entities, "/world/camera/image/depth", "DepthImage:buffer")[i]
        (metre,) = values(entities, "/world/camera/image/depth", "DepthImage:meter")[i]
        buffer = np.array(depth[0], np.uint8).view("<u2").reshape(TRAINING_SIZE)
        z = buffer / metre
        v, u = np.mgrid[: TRAINING_SIZE[0], : TRAINING_SIZE[1]]
        # rerun stores matrices column by column.
        K, rotation = (np.array(matrix).reshape(3, 3).T for matrix in (K, rotation))
        rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(z)], -1)
        points = (rays * z[..., None])[z > 0] @ rotation.T + translation
        # Each depth is that of a raw pixel beside the centre: half a raw pixel on a slanted wall.
        off = np.minimum(np.abs(points - LOWER), np.abs(points - UPPER)).min(axis=1)
        assert np.median(off) < 0.02


def test_matches_of_the_pair(entities: Entities) -> None:
    (lines,) = values(entities, "/world/pair/matches", "LineStrips3D:strips")
    strips = np.array(lines)
    assert strips.shape[1:] == (4, 3)
    assert 20 < len(strips) <= 60
    np.testing.assert_allclose(strips[:, 0], np.tile(POSES[A][:3, 3], (len(strips), 1)), atol=1e-5)
    np.testing.assert_allclose(strips[:, 3], np.tile(POSES[B][:3, 3], (len(strips), 1)), atol=1e-5)
    gaps = np.linalg.norm(strips[:, 1] - strips[:, 2], axis=1)
    assert gaps.max() <= RADIUS_M + 1e-5
    for view, end, frame_id in (("a", 1, A), ("b", 2, B)):
        (uv,) = values(entities, f"/world/pair/{view}/image/matches", "Points2D:positions")
        (K,) = values(entities, f"/world/pair/{view}/image", "Pinhole:image_from_camera")[0]
        K = np.array(K).reshape(3, 3).T
        camera = (strips[:, end] - POSES[frame_id][:3, 3]) @ POSES[frame_id][:3, :3]
        projected = (camera @ K.T)[:, :2] / camera[:, 2:]
        # A pixel's centre is at + 0.5 in rerun's 2D views.
        np.testing.assert_allclose(np.array(uv) - 0.5, projected, atol=1e-3)


def test_without_rerun(
    contents: SceneContents,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    monkeypatch.delitem(sys.modules, "pipeline.reporting.rerun_recording", raising=False)
    folder = str(layout.scene_dir(contents.artifacts, contents.scene))
    assert main(["inspect", folder, "--rerun", str(tmp_path / "scene.rrd")]) == 1
    assert f"pip install '{RERUN}'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_extra_is_the_one_that_the_error_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["optional-dependencies"]["rerun"] == [RERUN]
