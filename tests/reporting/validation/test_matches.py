"""Correspondences of both modes: each invariant broken by itself."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.schemas import read_table
from tests.reporting.validation.broken import (
    Change,
    Groups,
    keep,
    one_violation,
    rewrite,
    setting,
    violations,
)


def test_valid_ones(folder: Path, pri3d_folder: Path) -> None:
    for scene in (folder, pri3d_folder):
        assert violations(scene, "correspondences") == []
        assert len(read_table(scene / "correspondences.parquet", "correspondences")) > 500


def swap_rows(groups: Groups) -> None:
    groups[2][4], groups[2][5] = groups[2][5], groups[2][4]


def repeat_row(groups: Groups) -> None:
    groups[2].insert(4, groups[2][4])


def drop_row(groups: Groups) -> None:
    groups[2].pop(4)


def drop_frame(groups: Groups) -> None:
    groups.pop(2)


def of_lost_frame(groups: Groups) -> None:
    groups.append([{**row, "frame_id": 9} for row in groups[7]])


def without_depth(groups: Groups) -> None:
    """A row for a pixel of the hole: at the training size around row 11, column 6."""
    rows = groups[2]
    pixel = 11 * 32 + 6
    after = next(i for i, row in enumerate(rows) if row["pixel"] > pixel)
    assert all(row["pixel"] != pixel for row in rows)
    rows.insert(after, {**rows[after], "pixel": pixel})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (swap_rows, "frame 2, row 5: pixel must ascend, one row each"),
        (repeat_row, "frame 2, row 5: pixel must ascend, one row each"),
        (drop_row, "frame 2: 1 pixels with a voxel within reach have no row, first "),
        (drop_frame, "pixels with a voxel within reach have no row, first "),
        (of_lost_frame, "frame 9: is not a usable frame of frames.parquet"),
        (setting(2, 4, pixel=24 * 32), "frame 2, row 4: pixel must be in 0..767, is 768"),
        (setting(2, 4, pixel=-1), "frame 2, row 4: pixel must be in 0..767, is -1"),
        (setting(2, 4, voxel_index=10**6), "frame 2, row 4: voxel_index must be in 0.."),
        (setting(2, 4, voxel_index=0), "must be within 0.1 m of the voxel's centre, is "),
        (without_depth, "the pixel's point must be within 0.1 m of the voxel's centre, is nan"),
        (lambda groups: groups[2].__setitem__(slice(0, 0), groups.pop(1)), "holds 2 frames"),
    ],
)
def test_strict(folder: Path, change: Change, expected: str) -> None:
    rewrite(folder, "correspondences", change)
    found = violations(folder, "correspondences")
    assert expected in found[0]
    # Frames that cannot be told apart are missing, too.
    assert len(found) == (2 if "holds 2 frames" in expected else 1), found


def test_a_wrong_distance(folder: Path, pri3d_folder: Path) -> None:
    def change(groups: Groups) -> None:
        groups[2][4]["distance_mm"] += 1

    for scene in (folder, pri3d_folder):
        expected = "frame 2, row 4: distance_mm must be the distance, is "
        one_violation(scene, "correspondences", change, expected)


def test_a_voxel_that_is_near_but_not_the_nearest(folder: Path) -> None:
    voxels = read_table(folder / "voxels.parquet", "voxels")
    centres = np.array(voxels["xyz_world"].to_pylist())

    def change(groups: Groups) -> None:
        """To a neighbour in the wall whose centre is within the radius, too."""
        for row in groups[2]:
            distance = np.linalg.norm(centres - centres[row["voxel_index"]], axis=1)
            neighbours = np.flatnonzero((distance > 0.01) & (distance < 0.101))
            for voxel in neighbours:
                reach = np.linalg.norm(centres[voxel] - point(row), axis=0)
                if reach < 0.099:
                    row |= {"voxel_index": int(voxel), "distance_mm": round(reach * 1000)}
                    return
        raise AssertionError("no row has two voxels within the radius")

    frames = read_table(folder / "frames.parquet", "frames").to_pylist()

    def point(row: dict) -> np.ndarray:
        frame = next(f for f in frames if f["frame_id"] == row["frame_id"])
        K, pose = np.reshape(frame["K"], (3, 3)), np.reshape(frame["T_world_camera"], (4, 4))
        depth = np.cumsum(np.frombuffer(frame["depth"], "<u2"), dtype=np.uint16)
        v, u = divmod(row["pixel"], 32)
        ray = np.linalg.inv(K) @ [u, v, 1]
        return pose[:3, :3] @ (ray * depth[row["pixel"]] / 1000) + pose[:3, 3]

    expected = "voxel_index must be the nearest voxel, is "
    one_violation(folder, "correspondences", change, expected)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (drop_row, "frame 2: 1 visible voxels have no row, first "),
        (repeat_row, "frame 2, row 5: voxel_index must not repeat, is "),
        (setting(2, 4, pixel=0), "their depths within 0.2 m, is nan"),
        (setting(2, 4, voxel_index=-1), "frame 2, row 4: voxel_index must be in 0.."),
        (lambda groups: groups[2].reverse(), "pixel must ascend, is "),
    ],
)
def test_pri3d(pri3d_folder: Path, change: Change, expected: str) -> None:
    rewrite(pri3d_folder, "correspondences", change)
    found = violations(pri3d_folder, "correspondences")
    assert any(expected in line for line in found), found
    is_alone = expected.startswith("frame 2: 1") or "repeat" in expected
    assert len(found) == 1 or not is_alone, found


def test_the_mode_is_that_of_the_metadata(folder: Path) -> None:
    rewrite(folder, "correspondences", keep, radius_m="0.05")
    assert "must be within 0.05 m of the voxel's centre" in violations(folder, "correspondences")[0]
    rewrite(folder, "correspondences", keep, matching_mode="lax")
    assert violations(folder, "correspondences") == [
        "correspondences.parquet: its metadata have matching_mode = 'lax'"
    ]
