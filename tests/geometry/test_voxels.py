import numpy as np
import pytest

from pipeline.geometry.voxels import voxelize


def test_equals_the_definition() -> None:
    rng = np.random.default_rng(0)
    vertices = rng.normal(scale=0.4, size=(3000, 3)).astype(np.float32)
    rgb = rng.integers(0, 256, (3000, 3)).astype(np.uint8)
    voxels = voxelize(vertices, rgb, 0.1)

    absolute = np.floor(vertices.astype(np.float64) / 0.1).astype(int)
    coords, inverse = np.unique(absolute, axis=0, return_inverse=True)
    np.testing.assert_array_equal(voxels.coords, coords - absolute.min(axis=0))
    np.testing.assert_allclose(voxels.grid_origin, absolute.min(axis=0) * 0.1)
    np.testing.assert_array_equal(voxels.vertex_voxel, inverse)
    np.testing.assert_allclose(voxels.xyz_world, (coords + 0.5) * 0.1, atol=1e-6)
    for row in range(len(coords)):
        inside = inverse == row
        assert voxels.n_vertices[row] == inside.sum()
        np.testing.assert_allclose(voxels.rgb[row], rgb[inside].mean(axis=0), atol=0.5)


def test_floor_not_truncation() -> None:
    vertices = np.array([[-0.01, 0, 0], [0.01, 0, 0]], np.float32)
    assert len(voxelize(vertices, np.zeros((2, 3), np.uint8), 0.02).coords) == 2


def test_no_vertices_no_voxels() -> None:
    voxels = voxelize(np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8), 0.02)
    assert voxels.coords.shape == voxels.xyz_world.shape == voxels.rgb.shape == (0, 3)


def test_an_outlier_costs_one_voxel() -> None:
    vertices = np.array([[0, 0, 0], [1e5, -1e5, 1e5]], np.float32)
    voxels = voxelize(vertices, np.zeros((2, 3), np.uint8), 0.02)
    assert len(voxels.coords) == 2
    np.testing.assert_allclose(voxels.xyz_world, vertices, atol=0.02)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e12])
def test_impossible_coordinates_are_an_error(value: float) -> None:
    vertices = np.array([[0, 0, 0], [value, 0, 0]], np.float32)
    with pytest.raises(ValueError, match="mesh"):
        voxelize(vertices, np.zeros((2, 3), np.uint8), 0.02)
