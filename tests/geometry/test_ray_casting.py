import numpy as np
import pytest

from pipeline.geometry.ray_casting import RayCaster
from tests.room import SIZE, K, look

#: Two squares in the planes z = 2 and z = 3; the nearer one hides the middle of the other.
NEAR = np.array([[-0.5, -0.5, 2], [0.5, -0.5, 2], [0.5, 0.5, 2], [-0.5, 0.5, 2]], np.float32)
FAR = (NEAR * [4, 4, 1] + [0, 0, 1]).astype(np.float32)
FACES = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]], np.int32)


def expected_corner(x: float, y: float, half: float) -> int:
    """Vertex with the most weight at (x, y) on a square that is cut along its diagonal."""
    a, b = (x + half) / (2 * half), (y + half) / (2 * half)
    weights = {0: 1 - a, 1: a - b, 2: b} if a >= b else {0: 1 - b, 2: a, 3: b - a}
    return max(weights, key=lambda corner: weights[corner])


@pytest.mark.parametrize("moved", [False, True])
def test_the_nearer_surface_is_seen(moved: bool) -> None:
    pose = look((1.0, -2.0, 0.5), 0.7) if moved else np.eye(4)
    vertices = np.concatenate([NEAR, FAR]) @ pose[:3, :3].T + pose[:3, 3]
    pixel, vertex = RayCaster(vertices.astype(np.float32), FACES).visible_vertices(K, pose, SIZE)
    assert (np.diff(pixel) > 0).all()
    seen = dict(zip(pixel.tolist(), vertex.tolist(), strict=True))
    n_near = n_far = 0
    for v in range(0, SIZE[0], 3):
        for u in range(0, SIZE[1], 3):
            x, y = (u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1]
            found = seen.get(v * SIZE[1] + u, -1)
            if max(abs(x), abs(y)) * 2 < 0.5 - 1e-4:
                assert found == expected_corner(2 * x, 2 * y, 0.5)
                n_near += 1
            elif max(abs(x), abs(y)) * 2 > 0.5 + 1e-4 and max(abs(x), abs(y)) * 3 < 2 - 1e-4:
                assert found == 4 + expected_corner(3 * x, 3 * y, 2)
                n_far += 1
            elif max(abs(x), abs(y)) * 3 > 2 + 1e-4:
                assert found == -1
    assert n_near > 20
    assert n_far > 20


def test_what_is_behind_the_camera_and_an_empty_mesh_are_not_seen() -> None:
    behind = np.eye(4)
    behind[2, 3] = 10
    pixel, vertex = RayCaster(NEAR, FACES[:2]).visible_vertices(K, behind, SIZE)
    assert len(pixel) == len(vertex) == 0
    empty = RayCaster(np.empty((0, 3), np.float32), np.empty((0, 3), np.int32))
    assert len(empty.visible_vertices(K, np.eye(4), SIZE)[0]) == 0
