"""Frames and labelled frames: each invariant broken by itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.readers.imaging import encode_jpeg, encode_png
from tests.raw_room import POSES, SPOILED, TRAINING_SIZE
from tests.reporting.validation.broken import Change, Groups, one_violation, setting, violations

LOST = len(POSES)  # row group of the first spoiled frame


def test_the_room_has_frames_of_every_fate(folder: Path) -> None:
    assert set(SPOILED) == set(range(LOST, LOST + 4))
    assert violations(folder, "frames") == violations(folder, "labelled_frames") == []


def join_groups(groups: Groups) -> None:
    groups[0] += groups.pop(1)


def swap_groups(groups: Groups) -> None:
    groups[0], groups[1] = groups[1], groups[0]


def repeat_row(groups: Groups) -> None:
    groups[2].append(groups[2][0])


def with_pose(factor: float = 1.0, **entries: float) -> list[float]:
    pose = POSES[1].copy()
    pose[:3, :3] *= factor
    for name, value in entries.items():
        pose.reshape(-1)[int(name[1:])] = value
    return pose.reshape(-1).tolist()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (join_groups, "row group 0: holds 2 frames; needed: one"),
        (swap_groups, "frame 0: comes after frame 1"),
        (repeat_row, "frame 2: has 2 rows"),
        (setting(1, 0, status="lost"), "frame 1: unknown status 'lost'"),
        (setting(LOST, 0, reason=""), "frame 8: status is no_pose, but the reason is empty"),
        (setting(LOST, 0, depth=b"12"), "frame 8: status is no_pose, but not null: depth"),
        (setting(1, 0, color=None, K=None), "frame 1: status is ok, but null: K, color"),
        (setting(1, 0, width=31), "frame 1: height and width are 24, 31; image_size is [24, 32]"),
        (setting(1, 0, depth_valid_fraction=1.5), "depth_valid_fraction must be in [0, 1], is 1.5"),
        (setting(1, 0, depth_valid_fraction=float("nan")), "must be in [0, 1], is nan"),
        (setting(1, 0, T_world_camera=with_pose(_3=float("nan"))), "frame 1: T_world_camera: pose"),
        (setting(1, 0, T_world_camera=with_pose(1.1)), "pose is no rotation"),
        (setting(1, 0, T_world_camera=with_pose(_15=2.0)), "last row of the pose is not 0 0 0 1"),
        (setting(1, 0, T_world_camera=[None] * 16), "frame 1: T_world_camera: pose"),
        (setting(1, 0, K=[-9.0, 0, 1, 0, 9, 1, 0, 0, 1]), "frame 1: K: not the intrinsics"),
        (setting(1, 0, K=[9.0, 1, 1, 0, 9, 1, 0, 0, 1]), "frame 1: K: not the intrinsics"),
        (setting(1, 0, color=b"\xff\xd8 and no more"), "frame 1: color JPEG"),
        (setting(1, 0, depth=b"12"), "frame 1: depth has 2 bytes"),
    ],
)
def test_frames(folder: Path, change: Change, expected: str) -> None:
    one_violation(folder, "frames", change, expected)


def test_a_picture_of_another_size(folder: Path) -> None:
    picture = encode_jpeg(np.zeros((8, 9, 3), np.uint8), 90)
    expected = "frame 3: color is 9x8 pixels; needed: 32x24"
    one_violation(folder, "frames", setting(3, 0, color=picture), expected)


def label(value: int, size: tuple[int, int] = TRAINING_SIZE) -> dict[str, Any]:
    return {"label": encode_png(np.full(size, value, np.uint8))}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (setting(2, 0, **label(3)), "frame 2: label has value 3; needed: 0..2, or 255 (ignored)"),
        (setting(2, 0, **label(0, (24, 30))), "frame 2: label is 30x24 pixels; needed: 32x24"),
        (setting(2, 0, label=label(0)["label"][:-9]), "frame 2: label PNG is cut"),
        (setting(2, 0, depth=b""), "frame 2: depth has 0 bytes"),
        (swap_groups, "frame 0: comes after frame 1"),
    ],
)
def test_labelled_frames(folder: Path, change: Change, expected: str) -> None:
    one_violation(folder, "labelled_frames", change, expected)
