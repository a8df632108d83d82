"""Sets, joined and ray-cast: each invariant broken by itself."""

from pathlib import Path

import pytest

from pipeline.schemas import read_table
from tests.reporting.validation.broken import (
    Change,
    Groups,
    one_violation,
    rewrite,
    setting,
    violations,
)


def drop_row(groups: Groups) -> None:
    groups[2].pop()


def drop_frame(groups: Groups) -> None:
    groups.pop(2)


def repeat_row(groups: Groups) -> None:
    groups[2].append(groups[2][0])


def one_pixel_more(groups: Groups) -> None:
    groups[2][0]["n_pixels"] += 1


def of_lost_frame(groups: Groups) -> None:
    groups.append([{**row, "frame_id": 9} for row in groups[7]])


def test_valid_ones(folder: Path, strict_folder: Path, pri3d_folder: Path) -> None:
    for scene in (folder, strict_folder, pri3d_folder):
        assert violations(scene, "sets") == []
        assert len(read_table(scene / "sets.parquet", "sets")) > 20


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (drop_row, "frame 2: 1 sets that it sees are missing, first "),
        (drop_frame, "sets that it sees are missing, first "),
        (repeat_row, "a set must stand once a frame; set_id, is "),
        (one_pixel_more, "n_pixels must be those of the correspondences with a voxel of the set"),
        (of_lost_frame, "frame 9: is not a usable frame of frames.parquet"),
        (setting(2, 0, set_source="labels"), "set_source must be one of 0.01, 0.5, is labels"),
        (setting(2, 0, set_id=9999), "set_id must be a segment or class of the mesh, is 9999"),
        (setting(2, 0, pixels=[1]), "pixels must be null where projection is voxel_map"),
    ],
)
def test_joined_with_the_matches(folder: Path, change: Change, expected: str) -> None:
    one_violation(folder, "sets", change, expected)


def unsorted_pixels(groups: Groups) -> None:
    next(row for row in groups[2] if row["n_pixels"] > 3)["pixels"].reverse()


def outside(groups: Groups) -> None:
    groups[2][0]["pixels"][-1] = 24 * 32


def shared(groups: Groups) -> None:
    """The last pixel of a set is also that of the next one of its source."""
    first, second = groups[2][:2]
    assert first["set_source"] == second["set_source"]
    second["pixels"] = sorted({*second["pixels"], first["pixels"][-1]})
    second["n_pixels"] += 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (unsorted_pixels, "pixels must ascend"),
        (outside, "frame 2, row 0: pixels must be in 0..767"),
        (shared, "frame 2, row 1: pixels must be in one set of a set_source"),
        (one_pixel_more, "frame 2, row 0: n_pixels must be the length of pixels"),
        (setting(2, 0, pixels=None), "frame 2: pixels is null in 1 rows"),
        (of_lost_frame, "frame 9: is not a usable frame of frames.parquet"),
    ],
)
def test_ray_cast(strict_folder: Path, change: Change, expected: str) -> None:
    one_violation(strict_folder, "sets", change, expected)


def test_sets_that_are_too_small(folder: Path) -> None:
    """It contradicts the matches, too."""
    rewrite(folder, "sets", setting(2, 0, n_pixels=0))
    assert "frame 2, row 0: n_pixels must be 1 or more, is 0" in violations(folder, "sets")[0]


@pytest.mark.parametrize("change", [drop_row, setting(2, 0, segment_id=2**31 - 1)])
def test_sets_of_segments_that_cannot_be_used(folder: Path, change: Change) -> None:
    rewrite(folder, "segments", change)
    found = violations(folder, "sets")
    assert found == ["segments.parquet, row group 2: is not a segment_id for each vertex, or voxel"]
