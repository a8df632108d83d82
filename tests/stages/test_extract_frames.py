import shutil
import weakref
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline import layout
from pipeline.geometry.camera import resize_depth, resize_intrinsics
from pipeline.geometry.mesh import Mesh, read_ply
from pipeline.readers.base import ColorSize, Frame, Scene
from pipeline.readers.imaging import encode_png
from pipeline.schemas import open_artifact, read_table, stored_metadata
from pipeline.stages import extract_frames
from pipeline.stages.common import StageError
from pipeline.stages.extract_frames import extract_scene
from tests.raw_room import POSES, SPOILED, TRAINING_SIZE, depth_mm, raw_params, write_raw_room
from tests.room import SIZE, K, render, wall_color, wall_label


def table(artifacts_dir: Path, kind: str, scene: str = "room"):  # type: ignore[no-untyped-def]
    return read_table(layout.artifact(artifacts_dir, scene, kind), kind)


def test_every_frame_has_a_row_of_its_own(artifacts_dir: Path) -> None:
    parquet = open_artifact(layout.artifact(artifacts_dir, "room", "frames"), "frames")
    assert parquet.num_row_groups == parquet.metadata.num_rows == len(POSES) + len(SPOILED)
    rows = parquet.read().to_pylist()
    assert {row["frame_id"]: row["status"] for row in rows} == dict.fromkeys(POSES, "ok") | SPOILED
    for row in rows:
        assert (row["height"], row["width"]) == TRAINING_SIZE
        if row["status"] == "ok":
            assert row["reason"] == ""
        else:
            # Below the raw folder, so that another place for the data is no other content.
            assert row["reason"].startswith("room")
            assert row["color"] is row["depth"] is row["K"] is row["T_world_camera"] is None
            assert row["depth_valid_fraction"] == 0


def stored_mm(row: dict) -> np.ndarray:
    """Depth of a row of the frames table, as schemas.py explains it."""
    return np.cumsum(np.frombuffer(row["depth"], "<u2"), dtype=np.uint16)


def test_a_usable_frame_is_stored_at_the_training_size(artifacts_dir: Path) -> None:
    row = table(artifacts_dir, "frames").slice(3, 1).to_pylist()[0]
    raw_depth = depth_mm(POSES[3])
    np.testing.assert_allclose(np.reshape(row["T_world_camera"], (4, 4)), POSES[3], rtol=1e-12)
    np.testing.assert_allclose(
        np.reshape(row["K"], (3, 3)), resize_intrinsics(K, SIZE, TRAINING_SIZE)
    )
    depth = stored_mm(row).reshape(TRAINING_SIZE)
    np.testing.assert_array_equal(depth, resize_depth(raw_depth, TRAINING_SIZE))
    assert row["depth_valid_fraction"] == pytest.approx(np.mean(raw_depth > 0))
    color = cv2.imdecode(np.frombuffer(row["color"], np.uint8), cv2.IMREAD_COLOR_RGB)
    averaged = wall_color(render(POSES[3])[1]).reshape(24, 2, 32, 2, 3).mean(axis=(1, 3))
    assert color.shape == averaged.shape
    assert np.abs(color - averaged).mean() < 12  # JPEG blurs colours


def test_a_scene_without_a_mesh_gets_one(artifacts_dir: Path) -> None:
    mesh = read_ply(layout.mesh(artifacts_dir, "room"))
    voxels = table(artifacts_dir, "voxels")
    assert voxels.schema.metadata[b"mesh"] == b"fused"
    assert voxels["n_vertices"].to_numpy().sum() == len(mesh.vertices) > 500
    np.testing.assert_array_equal(voxels["voxel_index"], np.arange(voxels.num_rows))


@pytest.mark.parametrize("mode", ["strict", "pri3d"])
def test_correspondences(raw_dir: Path, tmp_path: Path, mode: str) -> None:
    params = raw_params(raw_dir, mode=mode)
    extract_scene(params, "room", tmp_path)
    path = layout.artifact(tmp_path, "room", "correspondences")
    parquet = open_artifact(path, "correspondences")
    assert parquet.num_row_groups == len(POSES)
    voxels = np.array(table(tmp_path, "voxels")["xyz_world"].to_pylist())
    frames = {row["frame_id"]: row for row in table(tmp_path, "frames").to_pylist()}
    for group, frame_id in enumerate(POSES):
        matches = parquet.read_row_group(group)
        assert set(matches["frame_id"].to_pylist()) == {frame_id}
        pixel, voxel_index = matches["pixel"].to_numpy(), matches["voxel_index"].to_numpy()
        z = stored_mm(frames[frame_id])[pixel] / 1000
        assert (z > 0).all()
        if mode == "strict":
            assert len(np.unique(pixel)) == len(pixel) > 0.5 * 24 * 32
            small_K = np.reshape(frames[frame_id]["K"], (3, 3))
            v, u = np.divmod(pixel, 32)
            rays = np.stack([u, v, np.ones(len(u))], axis=1) @ np.linalg.inv(small_K).T
            points = z[:, None] * rays @ POSES[frame_id][:3, :3].T + POSES[frame_id][:3, 3]
            distance = np.linalg.norm(points - voxels[voxel_index], axis=1)
            assert distance.max() <= 0.1 + 1e-6
            np.testing.assert_allclose(matches["distance_mm"], distance * 1000, atol=0.6)
        else:
            assert len(np.unique(voxel_index)) == len(voxel_index) > 100
            assert matches["distance_mm"].to_numpy().max() <= 200
    used = {"strict": "radius_m", "pri3d": "pri3d_voxel_z_m"}
    metadata = stored_metadata(parquet)
    assert metadata["matching_mode"] == mode
    assert [key in metadata for key in used.values()] == [key == mode for key in used]


def test_the_datasets_mesh_is_used_and_its_labels_become_classes(
    raw_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids 1, 2, 3 are classes 0, 1, 2; others are ignored."""
    vertices = np.array([[3, 1, 1], [3, 1.5, 1], [3, 1, 1.5], [3, 1.5, 1.5]], np.float32)
    faces = np.array([[0, 1, 2], [1, 3, 2]], np.int32)
    labels = np.array([1, 3, 0, 40], np.uint16)
    mesh = Mesh(vertices, faces, np.full((4, 3), 7, np.uint8), labels)
    params = raw_params(raw_dir)
    opened = extract_frames.open_raw_scene(params.dataset, "room")
    monkeypatch.setattr(
        extract_frames, "open_raw_scene", lambda *_: replace(opened, load_mesh=lambda: mesh)
    )
    extract_scene(params, "room", tmp_path)
    stored = read_ply(layout.mesh(tmp_path, "room"))
    np.testing.assert_array_equal(stored.vertices, vertices)
    np.testing.assert_array_equal(stored.label, [0, 2, 255, 255])
    voxels = table(tmp_path, "voxels")
    assert voxels.num_rows == 4
    assert voxels.schema.metadata[b"mesh"] == b"dataset"
    assert b"fusion" not in voxels.schema.metadata  # it plays no part


def test_labelled_frames(artifacts_dir: Path) -> None:
    rows = {row["frame_id"]: row for row in table(artifacts_dir, "labelled_frames").to_pylist()}
    assert len(rows) == len(POSES) + len(SPOILED)
    assert rows[1]["label"] is None  # only every other frame has one
    assert rows[1]["color"] is not None
    label = cv2.imdecode(np.frombuffer(rows[2]["label"], np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(
        label, resize_depth(wall_label(render(POSES[2])[1]), TRAINING_SIZE)
    )


def test_a_scene_without_labelled_frames_gets_an_empty_table(raw_dir: Path, tmp_path: Path) -> None:
    write_raw_room(tmp_path / "labelled", "another_room")
    params = raw_params(raw_dir)
    elsewhere = params.labelled.model_copy(update={"raw_dir": str(tmp_path / "labelled")})
    extract_scene(params.model_copy(update={"labelled": elsewhere}), "room", tmp_path)
    assert table(tmp_path, "labelled_frames").num_rows == 0

    missing = params.labelled.model_copy(update={"raw_dir": str(tmp_path / "nowhere")})
    with pytest.raises(StageError, match=r"labelled\.raw_dir.*nowhere does not exist"):
        extract_scene(params.model_copy(update={"labelled": missing}), "room", tmp_path)


def test_nothing_left_is_an_error_that_says_why(tmp_path: Path) -> None:
    write_raw_room(tmp_path / "raw", "bad", good=False)
    with pytest.raises(
        StageError,
        match="nothing is left of 4 frames: 1 corrupt, 1 no_color, 1 no_depth, 1 no_pose",
    ) as error:
        extract_scene(raw_params(tmp_path / "raw"), "bad", tmp_path / "out")
    for status in Counter(SPOILED.values()):
        assert status in str(error.value)
    assert not list((tmp_path / "out" / "bad").glob("*"))


def test_frames_stream_through(
    raw_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the scene, no more than a few frames are in memory at a time."""
    params = raw_params(raw_dir)
    opened = extract_frames.open_raw_scene(params.dataset, "room")
    alive, most = [], 0

    def load(frame_id: int, color_size: ColorSize = "full") -> Frame:
        nonlocal most
        frame = replace(opened.load_frame(frame_id % len(POSES), color_size), frame_id=frame_id)
        alive.append(weakref.ref(frame))
        most = max(most, sum(reference() is not None for reference in alive))
        return frame

    scene: Scene = replace(opened, frame_ids=tuple(range(60)), load_frame=load)
    monkeypatch.setattr(extract_frames, "open_raw_scene", lambda *_: scene)
    extract_scene(params, "room", tmp_path)
    assert table(tmp_path, "frames").num_rows == 60
    assert most <= 3


def test_metadata_hold_what_decides_the_content_and_nothing_else(
    raw_dir: Path, artifacts_dir: Path, tmp_path: Path
) -> None:
    """Another radius changes the correspondences' file, and no other."""
    extract_scene(raw_params(raw_dir, radius_m=0.08), "room", tmp_path)
    for kind in ("frames", "voxels", "labelled_frames", "correspondences"):
        new, old = (layout.artifact(f, "room", kind) for f in (tmp_path, artifacts_dir))
        assert (new.read_bytes() == old.read_bytes()) == (kind != "correspondences")
        metadata = stored_metadata(open_artifact(new, kind))
        assert {"scene", "reader", "package_version", "params_hash"} <= set(metadata)
        assert len(bytes.fromhex(metadata["inputs_sha256"])) == 32


def test_the_inputs_hash_follows_the_raw_bytes(raw_dir: Path, tmp_path: Path) -> None:
    """A picture replaced by another shows in the tables made from it, not in the others."""

    def hashes(raw: Path, out: Path) -> dict[str, str]:
        extract_scene(raw_params(raw), "room", out)
        return {
            kind: stored_metadata(open_artifact(layout.artifact(out, "room", kind), kind))[
                "inputs_sha256"
            ]
            for kind in ("frames", "voxels", "labelled_frames", "correspondences")
        }

    copy = tmp_path / "raw"
    shutil.copytree(raw_dir, copy)
    old = hashes(raw_dir, tmp_path / "old")
    assert hashes(copy, tmp_path / "same") == old
    label = sorted((copy / "room" / "label").iterdir())[0]
    label.write_bytes(encode_png(np.ones(SIZE, np.uint8)))
    new = hashes(copy, tmp_path / "new")
    assert {kind for kind in new if new[kind] != old[kind]} == {"labelled_frames"}
    color = sorted((copy / "room" / "color").iterdir())[0]
    color.write_bytes(encode_png(np.zeros((*SIZE, 3), np.uint8)))
    newest = hashes(copy, tmp_path / "newest")
    assert {kind for kind in new if newest[kind] != new[kind]} == set(new)
