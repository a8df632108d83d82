"""Choices and projections behind the pictures, against slow references."""

import numpy as np
import pytest

from pipeline.reporting.scene_views import (
    View,
    choose_pair,
    close_gaps,
    distinct_colours,
    orthographic,
    overlay_distances,
    overlay_segments,
    return_share,
    section_views,
    spread_points,
    up_axis,
)


def test_choose_pair() -> None:
    pairs = np.array([[0, 1], [0, 2], [1, 2]], np.int32)
    assert choose_pair(pairs, np.array([0.9, 0.45, 0.1], np.float32)) == (0, 2)
    assert choose_pair(pairs[:0], np.zeros(0, np.float32)) is None


def test_spread_points_is_farthest_point_sampling() -> None:
    uv = np.random.default_rng(0).integers(0, 50, (200, 2))
    chosen = spread_points(uv, 12)
    assert len(set(chosen.tolist())) == 12
    for i in range(1, 12):
        to_chosen = [min(np.sum((uv[p] - uv[q]) ** 2) for q in chosen[:i]) for p in range(len(uv))]
        assert to_chosen[chosen[i]] == max(to_chosen)


def test_spread_points_of_few() -> None:
    assert len(spread_points(np.zeros((5, 2), np.int64), 3)) == 1
    assert len(spread_points(np.zeros((0, 2), np.int64), 3)) == 0


def test_neighbouring_colours_differ() -> None:
    colours = distinct_colours(60).astype(int)
    assert np.abs(np.diff(colours, axis=0)).sum(axis=1).min() > 80
    assert len(np.unique(colours, axis=0)) == 60


def test_overlay() -> None:
    image = np.full((2, 3, 3), 100, np.uint8)
    pixel, segment = np.array([0, 4, 5], np.int32), np.array([0, 1, -1], np.int32)
    result = overlay_segments(image, pixel, segment)
    assert np.ptp(result[0, 1]) == np.ptp(result[1, 2]) == 0
    unknown = overlay_segments(np.zeros_like(image), pixel, segment)[0, 1]
    assert unknown.min() > 50, "what is not known is grey, not black, in dark pictures, too"
    assert np.ptp(result[0, 0]) > 50
    assert (result[0, 0] != result[1, 1]).any()


def test_distances_over_an_image() -> None:
    image = np.full((2, 3, 3), 100, np.uint8)
    is_invalid = np.array([[False, False, True], [False, False, False]])
    # Pixel 4 has two rows, as `pri3d` gives them: the nearer voxel decides.
    pixel, distance = np.array([0, 4, 4], np.int32), np.array([0.9, 0.1, 0.9])
    result = overlay_distances(image, is_invalid, pixel, distance)
    assert result[0, 2].tolist() == [0, 0, 255]
    assert np.ptp(result[0, 1]) == np.ptp(result[1, 0]) == 0
    yellow, violet = result[0, 0].astype(int), result[1, 1].astype(int)
    assert yellow[1] > yellow[2]
    assert violet[2] > violet[1]


def test_up_axis() -> None:
    # A camera that looks along +y of a world whose -z is up: its `down` is +z.
    rotation = np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]])
    assert up_axis(rotation[None]) == (2, -1)


@pytest.mark.parametrize("vertical", [(0, 1), (1, -1), (2, 1), (2, -1)])
def test_views_are_not_mirrored(vertical: tuple[int, int]) -> None:
    xyz = np.random.default_rng(2).uniform(-1, 2, (50, 3)).astype(np.float32) * [3, 2, 1]
    views = section_views(xyz.astype(np.float32), np.zeros((4, 3)), vertical)
    assert views["from above"].axis == vertical[0]
    assert views["from the side"].up == vertical
    for view in views.values():
        right, up, toward = (
            sign * np.eye(3)[axis] for axis, sign in (view.right, view.up, (view.axis, view.sign))
        )
        np.testing.assert_array_equal(np.cross(right, up), toward)


@pytest.mark.parametrize("sign", [1, -1])
def test_orthographic_against_a_loop(sign: int) -> None:
    rng = np.random.default_rng(3)
    coords = np.unique(rng.integers(-4, 4, (120, 3)).astype(np.int32), axis=0)
    xyz = (coords * 0.1).astype(np.float32)
    values = rng.uniform(size=(len(coords), 1))
    view = View(axis=1, sign=sign, right=(0, -sign), up=(2, 1), cut=0.1 * sign + 0.01)
    picture = orthographic(coords, xyz, values, view)
    expected = np.full((8, 8, 1), np.nan)
    nearest = np.full((8, 8), -np.inf)
    for cell, point, value in zip(coords, xyz, values, strict=True):
        toward = sign * point[1]
        row = 7 - (cell[2] + 4)
        column = cell[0] + 4 if sign < 0 else 3 - cell[0]
        if toward <= sign * view.cut and toward > nearest[row, column]:
            nearest[row, column], expected[row, column] = toward, value
    np.testing.assert_array_equal(picture, expected)


def test_close_gaps_fills_between_and_not_at_the_border() -> None:
    picture = np.full((3, 5, 1), np.nan)
    picture[1, [1, 3]] = [[2.0], [4.0]]
    closed = close_gaps(picture)
    assert closed[1, 2, 0] == 3
    assert np.isnan(closed).sum() == picture.size - 3


def test_return_share() -> None:
    width = 10
    # Two matches of a: one comes back one pixel beside its start, one comes back far away.
    there = (np.array([11, 55]), np.array([30, 31]))
    assert return_share(there, (np.array([30, 31]), np.array([12, 99])), width) == 0.5
    assert return_share(there, (np.array([30]), np.array([11])), width) == 0.5
    assert np.isnan(return_share((np.array([], int), np.array([], int)), there, width))
