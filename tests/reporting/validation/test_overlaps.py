"""Overlaps and stored pixel pairs: each invariant broken by itself."""

from pathlib import Path

import pytest

from pipeline.schemas import read_table
from tests.raw_room import POSES
from tests.reporting.validation.broken import (
    Change,
    Groups,
    keep,
    one_violation,
    rewrite,
    setting,
    violations,
)

N_PAIRS = len(POSES) * (len(POSES) - 1) // 2


def test_valid_ones(folder: Path, strict_folder: Path, pri3d_folder: Path) -> None:
    for scene in (folder, strict_folder, pri3d_folder):
        assert violations(scene, "overlaps") == []
        table = read_table(scene / "overlaps.parquet", "overlaps")
        assert len(table) == N_PAIRS
        n_pairs = table["pixel_a"].is_valid().to_pylist().count(True)
        assert n_pairs == 0 if scene is folder else 0 < n_pairs < N_PAIRS


def swap_rows(groups: Groups) -> None:
    groups[0][4], groups[0][5] = groups[0][5], groups[0][4]


def repeat_row(groups: Groups) -> None:
    groups[0].insert(4, groups[0][4])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (swap_rows, "row 5: pairs must be sorted, one row each, is [0, 5]"),
        (repeat_row, "row 5: pairs must be sorted, one row each, is [0, 5]"),
        (lambda groups: groups[0].pop(4), "1 pairs of its 8 frames are missing, first 0 and 5"),
        (lambda groups: groups.clear(), "28 pairs of its 8 frames are missing, first 0 and 1"),
        (setting(0, 4, overlap_ab=1.25, overlap=1.25), "row 4: overlap_ab, overlap_ba and overlap"),
        (setting(0, 4, overlap_ab=0.75, overlap_ba=0.5, overlap=0.5), "row 4: overlap must be the"),
        (setting(0, 4, pixel_a=[0], pixel_b=[0]), "row 4: pixel_a and pixel_b must be there where"),
    ],
)
def test_pairs(folder: Path, change: Change, expected: str) -> None:
    assert violations(folder, "overlaps") == []
    rewrite(folder, "overlaps", change)
    (found,) = violations(folder, "overlaps")
    assert expected in found


def test_frames_that_do_not_exist_or_are_the_wrong_way_round(folder: Path) -> None:
    rewrite(folder, "overlaps", setting(0, -1, frame_b=77))
    first = violations(folder, "overlaps")[0]
    assert "row 27: must be a pair of frames of frames.parquet, is [6, 77]" in first
    rewrite(folder, "overlaps", setting(0, -1, frame_a=7, frame_b=6))
    assert "row 27: frame_a must be below frame_b, is [7, 6]" in violations(folder, "overlaps")[0]


def unsorted_pixels(groups: Groups) -> None:
    for name in ("pixel_a", "pixel_b"):
        groups[0][0][name].reverse()


def one_more(groups: Groups) -> None:
    groups[0][0]["pixel_b"].append(5)


def outside(groups: Groups) -> None:
    groups[0][0]["pixel_b"][3] = 24 * 32


def astray(groups: Groups) -> None:
    """To the other end of the picture."""
    pixel = groups[0][0]["pixel_b"]
    pixel[3] = 767 - pixel[3]


def below_threshold(groups: Groups) -> None:
    groups[0][0] |= {"overlap": 0.25, "overlap_ab": 0.25, "overlap_ba": 0.25}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (unsorted_pixels, "frames 0 and 1, row 1: pixel_a must ascend"),
        (one_more, "frames 0 and 1: pixel_a has "),
        (outside, "frames 0 and 1, row 3: pixel_a and pixel_b must be in the pictures, is ["),
        (astray, "frames 0 and 1, row 3: pixel_a and pixel_b must match within "),
        (setting(0, 0, pixel_b=None), "row 0: pixel_a and pixel_b must be there where overlap is"),
        (below_threshold, "row 0: pixel_a and pixel_b must be there where overlap is at least 0.5"),
    ],
)
def test_pixel_pairs(
    strict_folder: Path, pri3d_folder: Path, change: Change, expected: str
) -> None:
    for scene in (strict_folder, pri3d_folder):
        one_violation(scene, "overlaps", change, expected)


def test_pixel_pairs_need_their_definition(strict_folder: Path) -> None:
    rewrite(strict_folder, "overlaps", keep, matching='{"mode": "lax"}')
    assert "its metadata have matching" in violations(strict_folder, "overlaps")[0]
