from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial import cKDTree

from pipeline.geometry.overlap import compute_overlaps, depth_to_cloud, downsample_cloud

CELL, RADIUS = 0.05, 0.075


def by_definition(clouds: list[np.ndarray], radius: float) -> np.ndarray:
    """A.4, step 2: for each point of j, is there any point of i within the radius?"""
    points = np.concatenate(clouds)
    frame = np.repeat(np.arange(len(clouds)), [len(cloud) for cloud in clouds])
    near = [cKDTree(cloud).query(points)[0] < radius for cloud in clouds]
    return np.array([np.bincount(frame, n) / np.bincount(frame) for n in near], np.float32)


def surfaces(n: int, n_points: int, seed: int) -> list[np.ndarray]:
    """Noisy patches of a wavy surface, partly overlapping, as frames of one place are."""
    rng = np.random.default_rng(seed)
    clouds = []
    for _ in range(n):
        xy = rng.uniform(-0.6, 0.6, (n_points, 2)) + rng.uniform(-1, 1, 2)
        z = 0.2 * np.sin(3 * xy[:, 0]) + rng.normal(0, 0.02, n_points)
        clouds.append(np.column_stack([xy, z]))
    return clouds


@pytest.mark.parametrize(("n", "n_points"), [(1, 400), (6, 900), (66, 100), (130, 40)])
def test_equals_the_definition(n: int, n_points: int) -> None:
    """With one, two and three words of frame bits."""
    clouds = surfaces(n, n_points, seed=n)
    difference = compute_overlaps(clouds, RADIUS) - by_definition(clouds, RADIUS)
    assert np.abs(difference).max() == 0


def test_equals_the_definition_in_dense_clouds() -> None:
    clouds = list(np.random.default_rng(4).uniform(0, 0.3, (6, 300, 3)))
    assert np.array_equal(compute_overlaps(clouds, RADIUS), by_definition(clouds, RADIUS))


def test_equals_the_definition_with_more_frames_than_bits_of_a_word() -> None:
    """Clouds with a shared surface, so that cells hold many frames and boxes often decide."""
    rng = np.random.default_rng(5)
    clouds = []
    for _ in range(70):
        points = np.column_stack([rng.random((60, 2)) * 0.8, rng.normal(0, 0.01, 60)])
        clouds.append(downsample_cloud(points + rng.random(3) * 0.2 - 0.1, CELL))
    np.testing.assert_array_equal(compute_overlaps(clouds, RADIUS), by_definition(clouds, RADIUS))


def test_half_of_a_plane() -> None:
    """Points 5 cm apart; b is a's right half and as much again beyond, so half is shared."""
    x, y = np.meshgrid(np.arange(20) * 0.05, np.arange(10) * 0.05)
    a = np.stack([x, y, 0 * x], axis=-1).reshape(-1, 3)
    b = a + np.array([0.5, 0, 0])
    # The column just outside is 5 cm off, within 7.5 cm; the next is 10 cm off.
    expected = np.float32([[1, 11 / 20], [11 / 20, 1]])
    np.testing.assert_array_equal(compute_overlaps([a, b], RADIUS), expected)
    # 8 cm in front of it nothing is near, 7 cm in front everything.
    for shift, share in ((0.08, 0), (0.07, 1)):
        np.testing.assert_array_equal(
            compute_overlaps([a, a + np.array([0, 0, shift])], RADIUS), [[1, share], [share, 1]]
        )


def test_is_directed() -> None:
    """A small cloud inside a large one is covered by it, not the other way round."""
    large = np.column_stack([np.arange(100) * 0.1, np.zeros(100), np.zeros(100)])
    overlap = compute_overlaps([large, large[:10]], 0.05)
    np.testing.assert_allclose(overlap, [[1, 1], [0.1, 1]])


def test_empty_clouds() -> None:
    empty = np.empty((0, 3))
    assert compute_overlaps([], RADIUS).shape == (0, 0)
    np.testing.assert_array_equal(compute_overlaps([empty, empty], RADIUS), np.zeros((2, 2)))
    np.testing.assert_array_equal(
        compute_overlaps([empty, np.zeros((1, 3))], RADIUS), [[0, 0], [0, 1]]
    )
    assert downsample_cloud(empty, CELL).shape == (0, 3)


def test_outliers_cost_no_memory() -> None:
    far = np.array([[0.0, 0, 0], [1e6, -1e6, 1e6]])
    np.testing.assert_array_equal(
        compute_overlaps([downsample_cloud(far, CELL), far[:1]], RADIUS), [[1, 1], [0.5, 1]]
    )


def test_downsampling_by_hand() -> None:
    """The grid starts half a cell below the min corner: cells are [-0.5, 0.5), [0.5, 1.5), ..."""
    points = np.array([[0, 0, 0], [0.4, 0, 0], [0.6, 0, 0], [1.2, 0, 0], [1.6, 0, 0]])
    found = downsample_cloud(points, 1.0)
    np.testing.assert_allclose(found[:, 0], [0.2, 0.9, 1.6])


def test_downsampling_equals_open3d_to_the_bit() -> None:
    import open3d as o3d

    rng = np.random.default_rng(7)
    points = rng.normal(size=(20000, 3)) * [1, 0.5, 0.1] + [3, -2, 1]
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points))
    expected = np.asarray(cloud.voxel_down_sample(CELL).points)
    found = downsample_cloud(points, CELL)
    np.testing.assert_array_equal(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)])


def test_clouds_that_are_not_finite_are_an_error() -> None:
    with pytest.raises(ValueError, match="not finite"):
        downsample_cloud(np.array([[0, 0, np.nan]]), CELL)


def test_depth_to_cloud() -> None:
    depth_raw = np.array([[0, 1234], [65534, 4999]], np.uint16)
    depth = depth_raw.astype(np.float32) / np.float32(1000)
    K = np.array([[577.87, 0, 0.4], [0, 578.0, 0.6], [0, 0, 1]])
    T = np.eye(4)
    T[:3, 3] = [1, 2, 3]
    expected = []
    for v, u in ((0, 1), (1, 0), (1, 1)):
        z = depth_raw[v, u] / 1000
        expected.append([(u - 0.4) / 577.87 * z + 1, (v - 0.6) / 578.0 * z + 2, z + 3])
    # As from the raw millimetres in float64: the float32 of `depth` leaves no trace.
    np.testing.assert_allclose(depth_to_cloud(depth, K, T), expected, rtol=1e-15)
    invalid = np.array([[0, -1], [np.nan, np.inf]], np.float32)
    assert depth_to_cloud(invalid, K, T).shape == (0, 3)


def test_real_frames_equal_the_definition(sequences: Path) -> None:
    folder = sequences / "holo_a"
    K = np.loadtxt(folder / "intrinsics.txt")
    clouds = []
    for depth_file in sorted((folder / "depth").glob("*.png"))[::6]:
        depth = cv2.imread(str(depth_file), cv2.IMREAD_UNCHANGED).astype(np.float32) / 1000
        pose = np.loadtxt(folder / "pose" / f"{depth_file.stem}.txt")
        clouds.append(downsample_cloud(depth_to_cloud(depth, K, pose), CELL))
    found = compute_overlaps(clouds, RADIUS)
    assert np.abs(found - by_definition(clouds, RADIUS)).max() == 0
    assert 0.3 < found[0, 1] < 1
