"""Fusion against analytic surfaces."""

import numpy as np
import pytest

from pipeline.geometry import fusion
from pipeline.geometry.fusion import FusionError, fuse_mesh, tidy_mesh
from pipeline.geometry.mesh import Mesh

SIZE = (60, 80)
K = np.array([[70.0, 0, 39.5], [0, 72.0, 29.5], [0, 0, 1]])
NORMAL = np.array([0.5, 0.3, -0.8]) / np.linalg.norm([0.5, 0.3, -0.8])
OFFSET = -1.5


def poses() -> list[np.ndarray]:
    """Not quite orthonormal, as real trackers write them, and with a rotation."""
    result = []
    for i in range(4):
        c, s = np.cos(0.05 * i), np.sin(0.05 * i)
        T = np.array([[c, 0, s, 0.05 * i], [0, 1, 0, 0.02 * i], [-s, 0, c, 0], [0, 0, 0, 1]])
        T[:3, :3] *= 1 + 2e-4
        result.append(T)
    return result


def plane_depth(T_world_camera: np.ndarray) -> np.ndarray:
    """Depth of the plane NORMAL . x = OFFSET at the pixel centres (integers)."""
    v, u = np.mgrid[: SIZE[0], : SIZE[1]]
    rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones(SIZE)], -1)
    along = rays @ T_world_camera[:3, :3].T @ NORMAL
    depth = (OFFSET - NORMAL @ T_world_camera[:3, 3]) / along
    return np.where((depth > 0) & (depth < 6), depth, 0).astype(np.float32)


def plane_frames(n: int = 4):
    rgb = np.broadcast_to(np.array([200, 100, 50], np.uint8), (*SIZE, 3)).copy()
    return [(plane_depth(T), rgb, K, T) for T in poses()[:n]]


def test_slanted_plane_is_not_shifted():
    """Half a pixel of error in K would move this plane by 13 mm on average."""
    mesh = fuse_mesh(plane_frames(), voxel_size_m=0.03, depth_max_m=4.0, min_weight=2.0)
    distance = mesh.vertices.astype(np.float64) @ NORMAL - OFFSET
    assert len(mesh.vertices) > 1_000
    assert abs(distance.mean()) < 0.002
    assert np.abs(distance).mean() < 0.006
    assert (np.abs(mesh.rgb.astype(int) - [200, 100, 50]) <= 1).all()
    a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
    assert (np.cross(b - a, c - a) @ NORMAL > 0).mean() > 0.99  # faces look at the cameras


def test_depth_limit_and_invalid_depth():
    frames = plane_frames()
    for depth, *_ in frames:
        depth[:, :40] = np.nan
    mesh = fuse_mesh(frames, voxel_size_m=0.03, depth_max_m=2.0, min_weight=2.0)
    assert np.isfinite(mesh.vertices).all()
    assert mesh.vertices[:, 2].max() < 2.1
    assert mesh.vertices[:, 0].min() > -0.1


def test_min_weight_counts_observations():
    frame = plane_frames(1)[0]
    for n_seen in (1, 2, 3):
        seen = [frame] * n_seen
        assert len(fuse_mesh(seen, 0.05, 4.0, float(n_seen)).faces)
        with pytest.raises(FusionError, match=f"{n_seen} of {n_seen} frames"):
            fuse_mesh(seen, 0.05, 4.0, n_seen + 0.5)


def test_result_does_not_depend_on_threads_or_hash_order():
    first, second = (fuse_mesh(iter(plane_frames()), 0.04, 4.0, 2.0) for _ in range(2))
    for name in ("vertices", "faces", "rgb"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_volume_grows(monkeypatch):
    expected = fuse_mesh(plane_frames(), 0.04, 4.0, 2.0)
    monkeypatch.setattr(fusion, "INITIAL_BLOCKS", 2)
    np.testing.assert_array_equal(fuse_mesh(plane_frames(), 0.04, 4.0, 2.0).faces, expected.faces)


def test_volume_has_a_limit(monkeypatch):
    monkeypatch.setattr(fusion, "MAX_GRID_BYTES", 100_000)
    with pytest.raises(FusionError, match=r"raise fusion\.voxel_size_m"):
        fuse_mesh(plane_frames(), 0.04, 4.0, 2.0)


@pytest.mark.parametrize("value", [0.0, np.nan, 9.0])
def test_empty(value):
    depth = np.full(SIZE, value, np.float32)
    frame = (depth, np.zeros((*SIZE, 3), np.uint8), K, np.eye(4))
    with pytest.raises(FusionError, match=r"0 of 1 frames have depth within 5\.0 m"):
        fuse_mesh([frame], 0.05, 5.0, 1.0)
    with pytest.raises(FusionError, match="0 of 0 frames"):
        fuse_mesh([], 0.05, 5.0, 1.0)


def test_tidy_mesh():
    """Joined, without empty faces and lonely vertices, in an order of its own."""
    rng = np.random.default_rng(3)
    vertices = rng.normal(size=(30, 3)).astype(np.float32)
    faces = rng.permuted(np.tile(np.arange(20), (25, 1)), axis=1)[:, :3].astype(np.int32)
    rgb = rng.integers(0, 255, (30, 3)).astype(np.uint8)
    vertices[5], rgb[5] = vertices[4], rgb[4]
    vertices[[0, 1, 2]] = [[0, 0, 0], [1, 1, 1], [2, 2, 2]]
    faces[0] = [0, 1, 2]  # no area
    tidy = tidy_mesh(Mesh(vertices, faces, rgb))

    def corners(mesh: Mesh) -> set:
        """Faces as coordinates, from their smallest corner on."""
        result = set()
        for triangle in mesh.vertices[mesh.faces].tolist():
            start = triangle.index(min(triangle))
            result.add(tuple(map(tuple, triangle[start:] + triangle[:start])))
        return result

    kept = [face for face in faces[1:] if len({tuple(vertices[i]) for i in face}) == 3]
    assert corners(tidy) == corners(Mesh(vertices, np.array(kept), rgb))
    assert len(np.unique(tidy.vertices, axis=0)) == len(tidy.vertices)
    assert set(tidy.faces.ravel()) == set(range(len(tidy.vertices)))

    order = rng.permutation(30)
    shuffled = Mesh(vertices[order], np.argsort(order).astype(np.int32)[faces[::-1]], rgb[order])
    again = tidy_mesh(shuffled)
    for name in ("vertices", "faces", "rgb"):
        np.testing.assert_array_equal(getattr(again, name), getattr(tidy, name))
