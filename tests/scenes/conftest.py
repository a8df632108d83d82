"""One small recorded room for the tests of this folder."""

from pathlib import Path

import pytest

from pipeline.config import Rooms
from pipeline.scenes.recording import Recording, record_room
from pipeline.scenes.writers import write_recording, write_splits


@pytest.fixture(scope="session")
def scene_name() -> str:
    return "scene0002_00"


@pytest.fixture(scope="session")
def small_rooms() -> Rooms:
    return Rooms(
        frames_per_room=10,
        color_size=(121, 162),
        depth_size=(120, 160),
        labelled_stride=3,
        lost_frame_fraction=0.15,
        lost_pose_fraction=0.15,
    )


@pytest.fixture(scope="session")
def recording(small_rooms: Rooms) -> Recording:
    return record_room(small_rooms, 2)


@pytest.fixture(scope="session")
def raw_dir(
    recording: Recording, scene_name: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    write_recording(folder, scene_name, recording, labelled_stride=3)
    write_splits(folder, [scene_name], [])
    return folder
