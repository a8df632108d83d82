import numpy as np
import pytest

from pipeline.geometry.camera import (
    backproject,
    invert_pose,
    project,
    resize_depth,
    resize_intrinsics,
    transform,
    valid_depth,
)

K = np.array([[50.0, 0, 31.25], [0, 55.0, 22.75], [0, 0, 1]])


def pose(rng: np.random.Generator) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    T[:3, 3] = rng.normal(size=3)
    return T


def test_projection_undoes_back_projection() -> None:
    depth = np.random.default_rng(0).uniform(0.5, 4, (48, 64)).astype(np.float32)
    uv, z = project(backproject(depth, K).reshape(-1, 3), K)
    v, u = np.mgrid[:48, :64]
    np.testing.assert_allclose(uv, np.stack([u, v], axis=-1).reshape(-1, 2), atol=1e-4)
    np.testing.assert_array_equal(z, depth.reshape(-1))


def test_back_projection_by_hand() -> None:
    depth = np.zeros((3, 4), np.float32)
    depth[2, 1] = 2
    xyz = backproject(depth, np.array([[10.0, 0, 2], [0, 20.0, 1], [0, 0, 1]]))
    assert xyz.dtype == np.float32
    np.testing.assert_allclose(xyz[2, 1], [2 * (1 - 2) / 10, 2 * (2 - 1) / 20, 2], rtol=1e-6)


def test_valid_depth() -> None:
    depth = np.array([0, -1, np.nan, np.inf, 1e-3], np.float32)
    np.testing.assert_array_equal(valid_depth(depth), [False, False, False, False, True])


def test_pose_inverse_is_true_for_a_pose_that_is_not_orthonormal() -> None:
    rng = np.random.default_rng(1)
    T = pose(rng)
    T[:3, :3] += rng.normal(scale=4e-4, size=(3, 3))
    points = rng.normal(size=(5, 7, 3)).astype(np.float32)
    back = transform(invert_pose(T), transform(T, points))
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, points, atol=1e-6)


def test_resized_intrinsics_move_pixel_centres() -> None:
    """(u + 0.5) s - 0.5: the image's edges, at -0.5 and width - 0.5, stay its edges."""
    points = np.random.default_rng(2).uniform([-1, -1, 1], [1, 1, 3], (50, 3))
    uv, _ = project(points, K)
    resized, _ = project(points, resize_intrinsics(K, (48, 64), (12, 128)))
    np.testing.assert_allclose(resized, (uv + 0.5) * [2, 0.25] - 0.5)


def test_resized_depth_lies_where_resized_intrinsics_say() -> None:
    """A slanted plane, shrunk to a third, still back-projects onto itself."""
    v, u = np.mgrid[:48, :63]
    normal, distance = np.array([0.3, -0.2, 1.0]), 2.0
    rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones(u.shape)], axis=-1)
    depth = (distance / (rays @ normal)).astype(np.float32)
    small = backproject(resize_depth(depth, (16, 21)), resize_intrinsics(K, (48, 63), (16, 21)))
    np.testing.assert_allclose(small @ normal, distance, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (10, 12), (11, 20)])
def test_resized_depth_takes_the_pixel_that_holds_the_centre(size: tuple[int, int]) -> None:
    depth = np.arange(70, dtype=np.uint16).reshape(7, 10)
    resized = resize_depth(depth, size)
    assert resized.dtype == depth.dtype
    for v in range(size[0]):
        for u in range(size[1]):
            row = min(int((v + 0.5) * 7 / size[0]), 6)
            assert resized[v, u] == depth[row, min(int((u + 0.5) * 10 / size[1]), 9)]
