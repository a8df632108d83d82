from collections import Counter

import numpy as np

from pipeline.geometry.projection import majority_per_voxel, pixels_of_sets, project_sets


def test_majority_equals_counting() -> None:
    rng = np.random.default_rng(0)
    voxel = rng.integers(0, 40, 300).astype(np.int32)
    sets = rng.integers(-1, 4, 300).astype(np.int32)
    found = majority_per_voxel(sets, voxel, 42)
    assert found.dtype == np.int32
    for v in range(42):
        votes = Counter(sets[voxel == v].tolist())
        best = max(votes.values(), default=0)
        assert found[v] == min((s for s, count in votes.items() if count == best), default=-1)


def test_majority_without_vertices() -> None:
    empty = np.empty(0, np.int32)
    np.testing.assert_array_equal(majority_per_voxel(empty, empty, 2), [-1, -1])


def test_sets_count_distinct_pixels() -> None:
    pixel = np.array([5, 5, 5, 6, 7, 8], np.int32)
    voxel = np.array([0, 1, 2, 0, 3, 4], np.int32)
    voxel_set = np.array([2, 2, 0, -1, 9], np.int32)
    set_id, n_pixels = project_sets(pixel, voxel, voxel_set, 1)
    np.testing.assert_array_equal(set_id, [0, 2, 9])
    np.testing.assert_array_equal(n_pixels, [1, 2, 1])  # pixel 5 sees set 2 through two voxels
    set_id, n_pixels = project_sets(pixel, voxel, voxel_set, 2)
    assert (set_id.tolist(), n_pixels.tolist()) == ([2], [2])


def test_a_frame_without_matches_has_no_sets() -> None:
    empty = np.empty(0, np.int32)
    set_id, n_pixels = project_sets(empty, empty, np.array([1], np.int32), 1)
    assert len(set_id) == len(n_pixels) == 0


def test_pixels_of_sets_are_those_that_are_counted() -> None:
    rng = np.random.default_rng(0)
    pixel = np.sort(rng.choice(500, 200, replace=False)).astype(np.int32)
    element = rng.integers(0, 30, 200).astype(np.int32)
    element_set = rng.integers(-1, 6, 30).astype(np.int32)
    set_id, n_pixels = project_sets(pixel, element, element_set, 3)
    found = pixels_of_sets(pixel, element, element_set, set_id)
    for one, n, pixels in zip(set_id, n_pixels, found, strict=True):
        np.testing.assert_array_equal(pixels, pixel[element_set[element] == one])
        assert len(pixels) == n >= 3
    assert len(set_id) == 6
