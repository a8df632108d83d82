"""The depth camera's faults, on planes where their size is known."""

import numpy as np
import pytest

from pipeline.scenes.kinect import BASELINE_M, DISPARITY_STEP_PX, measure

FOCAL_PX = 577.87 / 2
SIZE = (120, 320)


def image(rng_seed: int, z: float, strength: float, **changed: np.ndarray) -> np.ndarray:
    given = {
        "depth": np.full(SIZE, z, np.float32),
        "cosine": np.ones(SIZE, np.float32),
        "is_shadowed": np.zeros(SIZE, bool),
        "is_glass": np.zeros(SIZE, bool),
    } | changed
    return measure(np.random.default_rng(rng_seed), **given, focal_px=FOCAL_PX, strength=strength)


def test_without_noise_only_millimetres_and_the_range_remain() -> None:
    depth = np.linspace(0, 7, SIZE[0] * SIZE[1], dtype=np.float32).reshape(SIZE)
    raw = image(0, 0, 0.0, depth=depth)
    inside = (depth >= 0.4) & (depth <= 5)
    np.testing.assert_array_equal(raw[inside], np.rint(depth[inside] * 1000))
    assert not raw[~inside].any()


@pytest.mark.parametrize("z", [1.0, 2.0, 4.0])
def test_quantisation_grows_with_the_square_of_depth(z: float) -> None:
    raw = image(1, z, 1.0)
    values = np.unique(raw[raw > 0])
    step = np.diff(values).max()
    expected = z**2 * DISPARITY_STEP_PX / (577.87 * BASELINE_M) * 1000
    assert step == pytest.approx(expected, rel=0.25, abs=1.5)


def test_noise_grows_with_depth_and_has_no_bias() -> None:
    near, far = (image(2, z, 1.0) for z in (1.0, 4.0))
    spread = [float(raw[raw > 0].std()) for raw in (near, far)]
    assert 8 < spread[1] / spread[0] < 32
    assert abs(float(far[far > 0].mean()) - 4000) < 10


def test_holes_in_shadow_at_grazing_angles_and_on_glass() -> None:
    half = np.zeros(SIZE, bool)
    half[:, :160] = True
    shadowed = image(3, 2.0, 1.0, is_shadowed=half)
    assert not shadowed[half].any()
    assert (shadowed[~half] > 0).mean() > 0.98
    grazing = image(4, 2.0, 1.0, cosine=np.where(half, 0.02, 0.9).astype(np.float32))
    assert (grazing[half] > 0).mean() < 0.05
    glass = image(5, 2.0, 1.0, is_glass=half)
    assert 0.05 < (glass[half] > 0).mean() < 0.5


def test_nothing_beyond_five_metres() -> None:
    assert not image(6, 5.3, 1.0).any()


def test_edges_are_ragged() -> None:
    depth = np.full(SIZE, 3.0, np.float32)
    depth[:, 160:] = 1.0
    raw = image(7, 0, 1.0, depth=depth)
    first_near = (np.abs(raw.astype(int) - 1000) < 50).argmax(1)
    assert len(np.unique(first_near)) > 1
    assert np.abs(first_near - 160).max() <= 4
