"""The analytic box room of tests.room as a raw posed folder, with frames of every fate."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.config import Params
from pipeline.stages.extract_frames import extract_scene
from pipeline.stages.find_overlaps import find_scene_overlaps
from pipeline.stages.oversegment import oversegment_scene
from tests.room import K, look, render, small_params, wall_color, wall_label

#: Half the raw size, so that resizing is part of every test.
TRAINING_SIZE = (24, 32)
#: Frame id -> camera-to-world pose, turning through the room.
POSES = {i: look((1.2 + 0.02 * i, 1.1, 1.3), 0.12 * i) for i in range(8)}
#: Frame id -> status of the frames that `write_raw_room` spoils.
SPOILED = {8: "no_pose", 9: "no_depth", 10: "no_color", 11: "corrupt"}


def depth_mm(pose: np.ndarray) -> np.ndarray:
    """uint16 millimetres of one view, with a hole."""
    depth, _ = render(pose)
    result = np.round(depth * 1000).astype(np.uint16)
    result[20:24, 10:14] = 0
    return result


def write_raw_room(
    raw_dir: Path, scene: str, labels: bool = True, spoiled: bool = True, good: bool = True
) -> None:
    """Write color, depth, pose, label and intrinsics of the room.

    Args:
        raw_dir: Raw folder of reader `posed_folder`.
        scene: Scene name.
        labels: Whether every other frame has a label image (ids 1, 2, 3; 0 none).
        spoiled: Whether the frames of `SPOILED` are there.
        good: Whether the usable frames are there.
    """
    folder = raw_dir / scene
    for name in ("color", "depth", "pose", "label")[: 4 if labels else 3]:
        (folder / name).mkdir(parents=True, exist_ok=True)
    np.savetxt(folder / "intrinsics.txt", K)
    poses = {**(POSES if good else {}), **(dict.fromkeys(SPOILED, POSES[0]) if spoiled else {})}
    for i, pose in poses.items():
        status = SPOILED.get(i)
        _, points = render(pose)
        color, depth = (folder / kind / f"{i:06d}.png" for kind in ("color", "depth"))
        written = np.full((4, 4), -np.inf) if status == "no_pose" else pose
        np.savetxt(folder / "pose" / f"{i:06d}.txt", written)
        cv2.imwrite(str(color), cv2.cvtColor(wall_color(points), cv2.COLOR_RGB2BGR))
        cv2.imwrite(str(depth), depth_mm(pose))
        if labels and i % 2 == 0:
            label = wall_label(points) + np.uint8(1)  # 255, near the corner, becomes 0
            cv2.imwrite(str(folder / "label" / f"{i:06d}.png"), label)
        if status == "no_depth":
            depth.unlink()
        if status == "no_color":
            color.unlink()
        if status == "corrupt":
            depth.write_bytes(b"not a picture")


def raw_params(raw_dir: Path, **matching: object) -> Params:
    """Params for the raw rooms in `raw_dir`, at half their size."""
    return small_params(
        dataset={
            "raw_dir": str(raw_dir),
            "scenes": "all",
            "frame_stride": 1,
            "image_size": TRAINING_SIZE,
        },
        labelled={"raw_dir": str(raw_dir), "label_map": [1, 2, 3]},
        geometry={
            "voxel_size_m": 0.1,
            "fusion": {"voxel_size_m": 0.05, "min_weight": 1},
            "matching": {"radius_m": 0.1, **matching},
            "oversegmentation": {"k": [0.01, 0.5]},
            "overlaps": {"cell_m": 0.1, "radius_m": 0.15},
        },
    )


@pytest.fixture(scope="session")
def raw_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw folder with one scene, `room`."""
    folder = tmp_path_factory.mktemp("raw")
    write_raw_room(folder, "room")
    return folder


@pytest.fixture(scope="session")
def artifacts_dir(raw_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with all artifacts of `room`."""
    params, out = raw_params(raw_dir), tmp_path_factory.mktemp("artifacts")
    for stage in (extract_scene, oversegment_scene, find_scene_overlaps):
        stage(params, "room", out)
    return out
