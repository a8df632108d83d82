from collections import Counter
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial import cKDTree

from pipeline.geometry.camera import (
    backproject,
    invert_pose,
    project,
    resize_depth,
    resize_intrinsics,
    transform,
    valid_depth,
)
from pipeline.geometry.correspondence import (
    Mode,
    VoxelMatcher,
    match_pixels,
    sample_pixel_matches,
)
from pipeline.geometry.voxels import Voxels, voxelize
from tests.room import SIZE, K, look, render

SMALL_K = np.array([[20.0, 0, 7.5], [0, 20.0, 5.5], [0, 0, 1]])
POSE_A, POSE_B = look((1.2, 1.1, 1.3), 0.2), look((1.25, 1.2, 1.35), 0.3)


def view(pose: np.ndarray, seed: int = 0) -> np.ndarray:
    """Depth of the box room with a Kinect's noise and some holes, float32 metres."""
    rng = np.random.default_rng(seed)
    depth, _ = render(pose)
    depth = depth + rng.normal(0, 0.004, SIZE)
    depth[rng.random(SIZE) < 0.05] = 0
    depth[:3, :5] = np.nan
    return depth.astype(np.float32)


def world(depth: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """World points of all pixels in float64; NaN where there is no depth."""
    v, u = np.mgrid[: depth.shape[0], : depth.shape[1]]
    z = np.where(valid_depth(depth), depth, np.nan).astype(np.float64)
    camera = np.stack([(u - K[0, 2]) / K[0, 0] * z, (v - K[1, 2]) / K[1, 1] * z, z], axis=-1)
    return camera.reshape(-1, 3) @ pose[:3, :3].T + pose[:3, 3]


def flat(depth_m: float) -> np.ndarray:
    return np.full((12, 16), depth_m, np.float32)


def shifted(x: float, z: float = 0) -> np.ndarray:
    T = np.eye(4)
    T[0, 3], T[2, 3] = x, z
    return T


class TestPixelsStrict:
    @pytest.mark.parametrize("radius", [0.01, 0.05, 0.2])
    def test_equals_the_search_over_all_pixels(self, radius: float) -> None:
        depth_a, depth_b = view(POSE_A), view(POSE_B, seed=1)
        pixel_a, pixel_b = match_pixels(depth_a, K, POSE_A, depth_b, K, POSE_B, "strict", radius)
        a, b = world(depth_a, POSE_A), world(depth_b, POSE_B)
        measured = np.flatnonzero(np.isfinite(b).all(axis=1))
        starts = np.flatnonzero(np.isfinite(a).all(axis=1))
        distance, nearest = cKDTree(b[measured]).query(a[starts])
        near = distance <= radius
        np.testing.assert_array_equal(pixel_a, starts[near])
        np.testing.assert_array_equal(pixel_b, measured[nearest[near]])
        assert near.sum() > 0

    def test_a_frame_matches_itself(self) -> None:
        depth = view(POSE_A)
        a, b = match_pixels(depth, K, POSE_A, depth, K, POSE_A, "strict", 0.02)
        np.testing.assert_array_equal(a, np.flatnonzero(valid_depth(depth)))
        np.testing.assert_array_equal(a, b)

    def test_shift_by_a_pixel(self) -> None:
        """At 2 m and f = 20 px a camera 10 cm further right sees everything one pixel left."""
        a, b = match_pixels(
            flat(2), SMALL_K, np.eye(4), flat(2), SMALL_K, shifted(0.1), "strict", 0.02
        )
        expected = np.arange(12 * 16).reshape(12, 16)
        np.testing.assert_array_equal(a, expected[:, 1:].reshape(-1))
        np.testing.assert_array_equal(b, expected[:, :-1].reshape(-1))

    def test_an_occluded_surface_has_no_match(self) -> None:
        depth_b = flat(2)
        depth_b[:, :8] = 1  # something stands in front of the left half
        _, b = match_pixels(
            flat(2), SMALL_K, np.eye(4), depth_b, SMALL_K, np.eye(4), "strict", 0.02
        )
        np.testing.assert_array_equal(b, np.arange(12 * 16).reshape(12, 16)[:, 8:].reshape(-1))


class TestPixelsPri3d:
    def test_equals_the_definition(self) -> None:
        depth_a, depth_b = view(POSE_A), view(POSE_B, seed=1)
        pixel_a, pixel_b = match_pixels(depth_a, K, POSE_A, depth_b, K, POSE_B, "pri3d", 0.05)
        camera_b = transform(invert_pose(POSE_B), world(depth_a, POSE_A))
        uv, z = project(camera_b, K)
        expected = []
        for p in range(len(uv)):
            if np.isnan(z[p]):
                continue
            u, v = int(uv[p, 0]), int(uv[p, 1])  # truncation
            if 0 <= u < SIZE[1] and 0 <= v < SIZE[0] and abs(z[p] - depth_b[v, u]) < 0.05:
                expected.append((p, v * SIZE[1] + u))
        assert list(zip(pixel_a.tolist(), pixel_b.tolist(), strict=True)) == expected

    def test_truncation_takes_in_a_border_of_one_pixel(self) -> None:
        """0.9 pixels left: u in (-1, 0] falls on column 0, column 0 and 1 both do."""
        arguments = (flat(2), SMALL_K, np.eye(4), flat(2), SMALL_K, shifted(0.09), "pri3d", 0.05)
        a, b = match_pixels(*arguments)
        assert len(a) == 12 * 16
        assert (b.reshape(12, 16)[:, :3] % 16).tolist() == [[0, 0, 1]] * 12


@pytest.mark.parametrize("mode", ["strict", "pri3d"])
class TestBothModes:
    def test_points_behind_the_camera_never_match(self, mode: str) -> None:
        turned = np.diag([-1.0, 1, -1, 1])
        a, _ = match_pixels(flat(2), SMALL_K, np.eye(4), flat(2), SMALL_K, turned, mode, 0.05)  # type: ignore[arg-type]
        assert len(a) == 0
        # Mirrored through the centre, so that x / z and the size of z agree.
        behind = shifted(0, 4)
        a, _ = match_pixels(flat(2), SMALL_K, np.eye(4), flat(2), SMALL_K, behind, mode, 0.05)  # type: ignore[arg-type]
        assert len(a) == 0

    def test_pixels_without_depth_never_match(self, mode: str) -> None:
        """Not even a point 1 cm from the camera with a pixel whose depth is 0."""
        close, empty = flat(0.01), flat(0)
        empty[3] = np.nan
        empty[4] = np.inf
        for a, b in ((close, empty), (empty, close), (empty, empty)):
            pixel, _ = match_pixels(a, SMALL_K, np.eye(4), b, SMALL_K, np.eye(4), mode, 0.05)  # type: ignore[arg-type]
            assert len(pixel) == 0

    def test_images_of_different_sizes(self, mode: str) -> None:
        depth, size = view(POSE_A), (24, 32)
        small_K = resize_intrinsics(K, SIZE, size)
        small = resize_depth(depth, size)
        a, b = match_pixels(small, small_K, POSE_A, depth, K, POSE_A, mode, 0.05)  # type: ignore[arg-type]
        assert len(a) >= 0.7 * valid_depth(small).sum()
        assert np.abs(b % 64 - (a % 32 * 2 + 0.5)).max() <= 2
        assert np.abs(b // 64 - (a // 32 * 2 + 0.5)).max() <= 2

    def test_disjoint_views(self, mode: str) -> None:
        far = shifted(100)
        a, b = match_pixels(flat(2), SMALL_K, np.eye(4), flat(2), SMALL_K, far, mode, 0.05)  # type: ignore[arg-type]
        assert a.shape == b.shape == (0,)
        assert a.dtype == b.dtype == np.int32


def room_voxels(size_m: float, pose: np.ndarray = POSE_A) -> Voxels:
    points = world(view(POSE_A), pose)
    points = points[np.isfinite(points).all(axis=1)].astype(np.float32)
    return voxelize(points, np.zeros((len(points), 3), np.uint8), size_m)


def match_pixels_to_voxels(  # type: ignore[no-untyped-def]
    depth: np.ndarray, K: np.ndarray, pose: np.ndarray, voxels: Voxels, mode: Mode, radius: float
):
    """Pixel, voxel and distance of the matches of one frame."""
    return VoxelMatcher(voxels, mode, radius).match(depth, K, pose)


class TestVoxelsStrict:
    @pytest.mark.parametrize(
        ("size_m", "radius"), [(0.1, 0.05), (0.1, 0.1), (0.05, 0.12), (0.1, 0.04)]
    )
    def test_equals_the_search_over_all_voxels(self, size_m: float, radius: float) -> None:
        voxels, depth = room_voxels(size_m), view(POSE_B, seed=1)
        pixel, voxel, distance_mm = match_pixels_to_voxels(
            depth, K, POSE_B, voxels, "strict", radius
        )
        points = world(depth, POSE_B)
        valid = np.flatnonzero(np.isfinite(points).all(axis=1))
        centres = voxels.grid_origin + (voxels.coords + 0.5) * size_m
        distance, nearest = cKDTree(centres).query(points[valid])
        near = distance <= radius
        np.testing.assert_array_equal(pixel, valid[near])
        np.testing.assert_array_equal(voxel, nearest[near])
        np.testing.assert_allclose(distance_mm, distance[near] * 1000, atol=0.51)
        assert near.sum() > 0

    def test_pixels_without_depth_have_no_voxel(self) -> None:
        depth = view(POSE_A)
        pixel, _, _ = match_pixels_to_voxels(depth, K, POSE_A, room_voxels(0.1), "strict", 0.1)
        assert valid_depth(depth).reshape(-1)[pixel].all()
        assert len(np.unique(pixel)) == len(pixel)

    def test_no_voxels(self) -> None:
        empty = voxelize(np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8), 0.1)
        pixel, voxel, distance = match_pixels_to_voxels(
            view(POSE_A), K, POSE_A, empty, "strict", 0.1
        )
        assert len(pixel) == len(voxel) == len(distance) == 0


class TestVoxelsPri3d:
    def test_equals_the_definition(self) -> None:
        """Voxels at trunc(x / size) * size, pixels by truncation, |z - depth| < 0.2."""
        pose_a, pose_b = POSE_A.copy(), POSE_B.copy()
        for pose in (pose_a, pose_b):
            pose[:3, 3] -= [2.9, 1.3, 1.1]  # below 0 truncation differs from floor
        voxels, depth = room_voxels(0.1, pose_a), view(POSE_B, seed=1)
        assert (voxels.grid_origin < 0).all()
        found = match_pixels_to_voxels(depth, K, pose_b, voxels, "pri3d", 0.2)
        places = np.trunc((voxels.grid_origin + (voxels.coords + 0.5) * 0.1) / 0.1) * 0.1
        uv, z = project(transform(invert_pose(pose_b), places), K)
        expected = []
        for row in range(len(places)):
            u, v = int(uv[row, 0]), int(uv[row, 1])
            if z[row] > 0 and 0 <= u < SIZE[1] and 0 <= v < SIZE[0]:
                difference = abs(z[row] - depth[v, u])
                if depth[v, u] > 0 and difference < 0.2:
                    expected.append((v * SIZE[1] + u, row, round(difference * 1000)))
        assert sorted(zip(*(column.tolist() for column in found), strict=True)) == sorted(expected)
        assert (np.diff(found[0]) >= 0).all()
        assert len(np.unique(found[1])) == len(found[1])

    def test_voxels_behind_the_camera_are_not_seen(self) -> None:
        vertices = np.array([[0.05, 0.05, -0.05]], np.float32)
        voxels = voxelize(vertices, np.zeros((1, 3), np.uint8), 0.1)
        pixel, _, _ = match_pixels_to_voxels(flat(0.05), SMALL_K, np.eye(4), voxels, "pri3d", 0.2)
        assert len(pixel) == 0


@pytest.mark.parametrize("mode", ["strict", "pri3d"])
def test_sampled_matches_are_a_uniform_sample(mode: Mode) -> None:
    pair = (view(POSE_A), K, POSE_A, view(POSE_B, 1), K, POSE_B, mode, 0.02)
    partner = dict(zip(*(pixels.tolist() for pixels in match_pixels(*pair)), strict=True))
    n = len(partner) // 8
    rng = np.random.default_rng(3)
    counts: Counter[int] = Counter()
    for _ in range(400):
        pixel_a, pixel_b = sample_pixel_matches(*pair, n, rng)
        assert [partner[a] for a in pixel_a.tolist()] == pixel_b.tolist()
        assert len(np.unique(pixel_a)) == len(pixel_a) == n
        counts.update(pixel_a.tolist())
    assert len(counts) == len(partner)
    # Each match is in one sample of eight: 400 / 8 times, with a binomial's spread.
    times = np.array(list(counts.values()))
    assert abs(times.mean() - 50) < 1
    assert 5 < times.std() < 8


def test_samples_of_few_matches_repeat_them_and_of_none_are_empty() -> None:
    rng = np.random.default_rng(0)
    depth = np.zeros((12, 16), np.float32)
    depth[3, 4] = depth[5, 6] = 2
    pair = (depth, SMALL_K, np.eye(4), depth, SMALL_K, np.eye(4), "strict", 0.02)
    pixel_a, pixel_b = sample_pixel_matches(*pair, 50, rng)
    np.testing.assert_array_equal(pixel_a, pixel_b)
    assert len(pixel_a) == 50
    assert set(pixel_a.tolist()) == {3 * 16 + 4, 5 * 16 + 6}
    away = (depth, SMALL_K, np.eye(4), depth, SMALL_K, shifted(9), "strict", 0.02)
    assert len(sample_pixel_matches(*away, 50, rng)[0]) == 0


def test_tolerance_must_fit_uint8_millimetres() -> None:
    with pytest.raises(ValueError, match=r"0\.255"):
        VoxelMatcher(room_voxels(0.1), "strict", 0.3)


@pytest.mark.parametrize("name", ["holo_a", "holo_b"])
def test_strict_matches_return_on_real_frames(sequences: Path, name: str) -> None:
    """At least 90 % of the matches a -> b come back within 2 pixels at 240x320."""
    size, folder = (240, 320), sequences / name
    K_raw = np.loadtxt(folder / "intrinsics.txt")
    frames = []
    for depth_file in sorted((folder / "depth").glob("*.png")):
        depth = cv2.imread(str(depth_file), cv2.IMREAD_UNCHANGED).astype(np.float32) / 1000
        pose = np.loadtxt(folder / "pose" / f"{depth_file.stem}.txt")
        resized = resize_intrinsics(K_raw, depth.shape, size)
        frames.append((resize_depth(depth, size), resized, pose))
    n_matches = n_returned = 0
    for a, b in pairwise(frames):
        pixel_a, pixel_b = match_pixels(*a, *b, "strict", 0.02)
        start, end = match_pixels(*b, *a, "strict", 0.02)
        partner = np.full(size[0] * size[1], -1)
        partner[start] = end
        back = partner[pixel_b]
        off = np.hypot(back // 320 - pixel_a // 320, back % 320 - pixel_a % 320)
        returned = (back >= 0) & (off <= 2)
        assert len(pixel_a) > 10_000
        assert returned.mean() >= 0.9
        n_matches, n_returned = n_matches + len(pixel_a), n_returned + returned.sum()
        distance = np.linalg.norm(
            transform(a[2], backproject(a[0], a[1])).reshape(-1, 3)[pixel_a]
            - transform(b[2], backproject(b[0], b[1])).reshape(-1, 3)[pixel_b],
            axis=1,
        )
        assert distance.max() <= 0.02 + 1e-6
    assert n_returned / n_matches >= 0.95
