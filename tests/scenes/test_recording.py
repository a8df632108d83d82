"""A recorded room as files: what the readers get is what was made, and it lies on the truth."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import Rooms
from pipeline.geometry.mesh import read_ply
from pipeline.readers import READERS
from pipeline.readers.imaging import decode_gray
from pipeline.readers.sens import IMU, IMU_COUNT, open_sens
from pipeline.scenes.assembly import assemble
from pipeline.scenes.categories import NYU40_IDS
from pipeline.scenes.recording import Recording, record_room
from pipeline.scenes.rooms import design_room
from pipeline.scenes.writers import aggregate, instance_ids, room_files, write_recording


def test_same_seed_and_number_give_the_same_bytes(
    small_rooms: Rooms, raw_dir: Path, scene_name: str, tmp_path: Path
) -> None:
    write_recording(tmp_path, scene_name, record_room(small_rooms, 2), labelled_stride=3)
    files = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    assert len(files) >= 6 + 5 * 4 + 2
    for file in files:
        assert (tmp_path / file).read_bytes() == (raw_dir / file).read_bytes(), file


def test_another_number_or_seed_gives_another_room(small_rooms: Rooms) -> None:
    def vertices(seed: int, number: int) -> np.ndarray:
        design_rng = np.random.default_rng([seed, number]).spawn(1)[0]
        return assemble(design_room(design_rng, number, small_rooms).placed).vertices

    assert not np.array_equal(vertices(0, 0), vertices(1, 0))
    assert not np.array_equal(vertices(0, 0), vertices(0, 5))


def test_scannet_reader_reads_it_back(raw_dir: Path, scene_name: str, recording: Recording) -> None:
    reader = READERS["scannet"]
    assert reader.list_scenes(raw_dir) == [scene_name]
    assert all(path.is_file() for path in reader.scene_files(raw_dir, scene_name))
    scene = reader.open_scene(raw_dir, scene_name, 1)
    statuses = set()
    for frame, made in zip(scene.frames(), recording.frames, strict=True):
        statuses.add(frame.status)
        if frame.status != "ok":
            assert not made.depth_raw.any() or not np.isfinite(made.T_world_camera).any()
            continue
        assert frame.depth is not None
        assert frame.color is not None
        np.testing.assert_allclose(frame.depth * 1000, made.depth_raw, atol=1e-3)
        np.testing.assert_allclose(frame.T_world_camera, made.T_world_camera, atol=1e-6)
        np.testing.assert_allclose(frame.K, recording.K_depth, rtol=1e-6)
        assert np.abs(frame.color.astype(int) - made.color).mean() < 6
    assert "ok" in statuses
    mesh = scene.load_mesh()
    assert mesh is not None
    np.testing.assert_array_equal(mesh.vertices, recording.mesh.vertices)
    np.testing.assert_array_equal(mesh.label, recording.mesh.label)


def test_sens_ends_with_its_imu_block(raw_dir: Path, scene_name: str, recording: Recording) -> None:
    path = room_files(raw_dir, scene_name)[0]
    sens = open_sens(path)
    end = int(sens.offset[-1] + sens.color_bytes[-1] + sens.depth_bytes[-1])
    tail = path.read_bytes()[end:]
    (count,) = IMU_COUNT.unpack(tail[: IMU_COUNT.size])
    assert count == len(recording.frames)
    assert len(tail) == IMU_COUNT.size + count * IMU.size
    gravity = IMU.unpack(tail[IMU_COUNT.size : IMU_COUNT.size + IMU.size])[12:15]
    assert np.linalg.norm(gravity) == pytest.approx(1)
    assert sens.version == 4


def test_lost_frames_and_poses() -> None:
    params = Rooms(
        frames_per_room=60,
        color_size=(24, 32),
        depth_size=(24, 32),
        mesh_voxel_size_m=0.1,
        lost_frame_fraction=0.2,
        lost_pose_fraction=0.2,
    )
    frames = record_room(params, 4).frames
    lost_depth = sum(not f.depth_raw.any() for f in frames)
    lost_pose = sum(bool((f.T_world_camera == -np.inf).all()) for f in frames)
    assert 5 <= lost_depth <= 20
    assert 5 <= lost_pose <= 20
    assert all(f.color.mean() > 30 for f in frames)


def test_labelled_frames(raw_dir: Path, scene_name: str, recording: Recording) -> None:
    scene = READERS["scannet_frames_25k"].open_scene(raw_dir / "scannet_frames_25k", scene_name, 1)
    assert scene.frame_ids == tuple(range(0, len(recording.frames), 3))
    folder = raw_dir / "scannet_frames_25k" / scene_name
    ids = instance_ids(recording.categories)
    for number in scene.frame_ids:
        label = decode_gray((folder / f"label/{number:06d}.png").read_bytes())
        instance = decode_gray((folder / f"instance/{number:06d}.png").read_bytes())
        np.testing.assert_array_equal(instance // 1000, label)
        hit = recording.frames[number].instance >= 0
        np.testing.assert_array_equal(instance[hit], ids[recording.frames[number].instance[hit]])
        assert not instance[~hit].any()
        assert set(np.unique(label)) <= set(NYU40_IDS.values())
        frame = scene.load_frame(number)
        if frame.status == "ok":
            np.testing.assert_array_equal(frame.label, label)
            np.testing.assert_allclose(
                frame.T_world_camera, recording.frames[number].T_world_camera, atol=1e-5
            )


def test_instance_ids_count_within_a_class() -> None:
    ids = instance_ids(["wall", "chair", "office chair", "wall", "table"])
    assert ids.tolist() == [1001, 5001, 5002, 1002, 7001]


def test_mesh_lies_on_the_true_surfaces(small_rooms: Rooms, recording: Recording) -> None:
    from open3d.core import Tensor
    from open3d.t.geometry import RaycastingScene

    room = design_room(np.random.default_rng([0, 2]).spawn(1)[0], 2, small_rooms)
    triangles = assemble(room.placed)
    scene = RaycastingScene()
    scene.add_triangles(Tensor(triangles.vertices), Tensor(triangles.faces.astype(np.uint32)))
    T = recording.T_room_world
    xyz = (recording.mesh.vertices @ T[:3, :3].T + T[:3, 3]).astype(np.float32)
    distance = scene.compute_distance(Tensor(xyz)).numpy()
    assert len(distance) > 5_000
    assert np.median(distance) < 0.012
    assert np.percentile(distance, 95) < 0.05
    # The aligned room is upright and starts at the floor.
    assert abs(np.percentile(xyz[:, 2], 1)) < 0.1


def test_segments_and_aggregation_cover_the_mesh(
    raw_dir: Path, scene_name: str, recording: Recording
) -> None:
    _, text, aggregation, mesh_ply, labels_ply, segs = room_files(raw_dir, scene_name)
    assert segs.name == f"{scene_name}_vh_clean_2.0.010000.segs.json"
    segment_id = np.array(json.loads(segs.read_text())["segIndices"])
    assert len(segment_id) == len(read_ply(mesh_ply).vertices)
    groups = json.loads(aggregation.read_text())["segGroups"]
    claimed = sorted(s for group in groups for s in group["segments"])
    assert claimed == sorted(set(segment_id.tolist()))
    nyu40 = np.zeros(segment_id.max() + 1, int)
    for group in groups:
        nyu40[group["segments"]] = NYU40_IDS[group["label"]]
    label = read_ply(labels_ply).label
    assert label is not None
    # Segments end at creases, not where a picture ends: most vertices agree, not all.
    assert (nyu40[segment_id] == label).mean() > 0.85
    values = dict(line.split(" = ") for line in text.read_text().splitlines())
    aligned = np.array(values["axisAlignment"].split(), float).reshape(4, 4)
    np.testing.assert_allclose(aligned, recording.T_room_world, atol=1e-6)
    assert float(values["fx_depth"]) == pytest.approx(577.870605 / 4)


def test_aggregate_takes_the_majority() -> None:
    segment_id = np.array([0, 0, 0, 1, 1, 2], np.int32)
    instance = np.array([4, 4, 1, 1, 1, 4], np.int32)
    assert aggregate(segment_id, instance) == {1: [1], 4: [0, 2]}


def test_splits(raw_dir: Path, scene_name: str) -> None:
    assert (raw_dir / "splits/scannetv2_train.txt").read_text() == f"{scene_name}\n"
    assert (raw_dir / "splits/scannetv2_val.txt").read_text() == ""
    assert (raw_dir / "scannetv2-labels.combined.tsv").is_file()
