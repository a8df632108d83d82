"""Textures as functions of place, and what colour_informativeness means."""

import numpy as np
import pytest

from pipeline.scenes.materials import TYPICAL, Material, Paint
from pipeline.scenes.textures import TEXTURES, cell_hash, face_plane, noise


def arguments(n: int = 500) -> tuple:
    rng = np.random.default_rng(0)
    place = rng.uniform(-3, 3, (n, 3)).astype(np.float32)
    colours = np.broadcast_to(
        np.float32([[0.8, 0.2, 0.1], [0.1, 0.7, 0.3], [0.2, 0.2, 0.9]]), (n, 3, 3)
    ).copy()
    size, seed = np.full(n, 0.2, np.float32), np.full(n, 5)
    return place, place[:, :2].copy(), colours, size, seed


@pytest.mark.parametrize("name", TEXTURES)
def test_texture_is_a_function_of_place(name: str) -> None:
    given = arguments()
    colour = TEXTURES[name](*[a.copy() for a in given])
    assert colour.dtype == np.float32
    assert np.isfinite(colour).all()
    assert colour.min() > -0.2
    assert colour.max() < 1.4
    # Each pixel alone gets the colour that it gets among the others.
    some = TEXTURES[name](*[a[100:130].copy() for a in given])
    np.testing.assert_allclose(some, colour[100:130], atol=1e-6)


@pytest.mark.parametrize("name", set(TEXTURES) - {"plain"})
def test_texture_has_a_pattern(name: str) -> None:
    assert TEXTURES[name](*arguments()).std(0).max() > 0.02


def test_noise_is_smooth_periodic_and_normal() -> None:
    place = np.random.default_rng(1).uniform(-64, 64, (20_000, 3)).astype(np.float32)
    value = noise(place)
    assert abs(value.mean()) < 0.1
    assert 0.7 < value.std() < 1.1
    assert np.abs(noise(place + np.float32(0.01)) - value).max() < 0.3
    np.testing.assert_allclose(noise(place + np.float32(64)), value, atol=1e-3)


def test_noise_interpolates_between_lattice_points() -> None:
    low, high = noise(np.float32([[3, 4, 5], [3, 4, 6]]))
    assert noise(np.float32([[3, 4, 5.25]]))[0] == pytest.approx(0.75 * low + 0.25 * high, abs=1e-5)


def test_cell_hash_is_uniform_and_depends_on_cell_and_seed() -> None:
    cell = np.stack(np.meshgrid(np.arange(-50, 50), np.arange(-50, 50)), -1).reshape(-1, 2)
    cell = cell.astype(np.float32)
    value = cell_hash(cell, np.zeros(len(cell), np.int64))
    assert 0 <= value.min() < value.max() < 1
    assert abs(np.histogram(value, 10, (0, 1))[0] - 1000).max() < 150
    assert (value != cell_hash(cell, np.ones(len(cell), np.int64))).mean() > 0.99


def test_face_plane_drops_the_axis_of_the_normal() -> None:
    place = np.float32([[1, 2, 3]] * 3)
    np.testing.assert_array_equal(
        face_plane(place, np.eye(3, dtype=np.float32)), [[2, 3], [1, 3], [1, 2]]
    )


def test_unknown_texture_is_named() -> None:
    with pytest.raises(KeyError, match=r"velvet.*plain"):
        Material("velvet", ((0.0, 0.0, 0.0),) * 3)


def share_typical(category: str, informativeness: float) -> float:
    """Share of draws whose texture is one that the category typically has."""
    textures = [
        Paint(np.random.default_rng(seed), informativeness)(category).texture for seed in range(300)
    ]
    return float(np.isin(textures, TYPICAL[category][1]).mean())


def test_colour_informativeness_moves_between_arbitrary_and_typical() -> None:
    none, half, full = (share_typical("toilet", c) for c in (0.0, 0.5, 1.0))
    assert full == 1
    assert none < 0.35
    assert none + 0.2 < half < 0.8


def test_half_informative_rooms_share_textures_between_classes() -> None:
    shared = 0
    for seed in range(20):
        paint = Paint(np.random.default_rng(seed), 0.5)
        materials = {c: paint(c) for c in ("toilet", "couch", "bed", "table", "curtain", "door")}
        shared += len(set(materials.values())) < len(materials)
    assert shared >= 5
