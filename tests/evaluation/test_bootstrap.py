"""The crossed bootstrap: hand-made cases, an enumeration of all resamples, and its coverage."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from pipeline.evaluation.bootstrap import crossed_interval


def interval(differences, confidence=0.95, resamples=2_000, seed=0) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    return crossed_interval(np.asarray(differences, float), confidence, resamples, rng)


def simulated(rng, n_seeds: int, n_scenes: int, seed_std, scene_std, rest_std) -> np.ndarray:
    """Differences of mean 0."""
    return (
        seed_std * rng.normal(size=(n_seeds, 1))
        + scene_std * rng.normal(size=n_scenes)
        + rest_std * rng.normal(size=(n_seeds, n_scenes))
    )


def test_equal_differences_leave_no_doubt() -> None:
    assert interval(np.full((5, 3), -1.5)) == (-1.5, -1.5)


def test_seeds_alone_give_students_interval() -> None:
    """Where all scenes agree, the classic interval of n values, which needs no resampling."""
    of_seed = np.array([0.3, 1.1, 0.2, 0.9, 0.6, 0.45, 0.75, 0.8, 0.1, 1.3])
    expected = stats.t.interval(0.95, 9, of_seed.mean(), stats.sem(of_seed))
    found = interval(np.repeat(of_seed[:, None], 4, axis=1), resamples=100_000)
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_seeds_and_scenes_are_treated_alike() -> None:
    differences = simulated(np.random.default_rng(3), 5, 7, 1, 2, 0.5)
    swapped = interval(differences.T, resamples=100_000)
    np.testing.assert_allclose(interval(differences, resamples=100_000), swapped, rtol=0.02)


def test_against_all_resamples() -> None:
    """Every possible draw of three seeds and three scenes, with the estimator's own equations."""
    d = np.array([[1.0, 2.0, 4.0], [0.0, 3.0, 1.0], [2.0, 2.5, 7.0]])
    upper = 0.9
    stretch = np.sqrt(3 / 2) * stats.t.ppf(upper, 2) / stats.norm.ppf(upper)
    means = [
        d.mean()
        + stretch * (np.mean([d[s] for s in seeds]) - d.mean())
        + stretch * (np.mean([d[:, k] for k in scenes]) - d.mean())
        for seeds in product(range(3), repeat=3)
        for scenes in product(range(3), repeat=3)
    ]
    rows, columns = d.mean(axis=1), d.mean(axis=0)
    v_rest = sum(
        (d[s, k] - rows[s] - columns[k] + d.mean()) ** 2 for s in range(3) for k in range(3)
    ) / (2 * 2 * 9)
    v_rows, v_columns = rows.var(ddof=1) / 3, columns.var(ddof=1) / 3
    variance = max(v_rows, v_columns, v_rows + v_columns - v_rest)
    shrink = np.sqrt(variance / (v_rows + v_columns))
    expected = d.mean() + shrink * (np.quantile(means, [1 - upper, upper]) - d.mean())
    found = interval(d, confidence=2 * upper - 1, resamples=400_000)
    np.testing.assert_allclose(found, expected, atol=0.06)


def test_the_other_direction_is_the_mirror_image() -> None:
    differences = simulated(np.random.default_rng(1), 5, 6, 1, 1, 1)
    low, high = interval(differences)
    np.testing.assert_allclose(interval(-differences), (-high, -low), rtol=1e-12)


def test_scale_and_shift_carry_over() -> None:
    differences = simulated(np.random.default_rng(2), 5, 6, 1, 1, 1)
    np.testing.assert_allclose(
        interval(7 * differences + 3), 7 * np.array(interval(differences)) + 3, rtol=1e-12
    )


def test_the_same_generator_gives_the_same_interval() -> None:
    differences = simulated(np.random.default_rng(5), 5, 6, 1, 1, 1)
    assert interval(differences) == interval(differences)
    assert interval(differences) != interval(differences, seed=1)


def test_more_confidence_is_wider() -> None:
    differences = simulated(np.random.default_rng(6), 5, 6, 1, 1, 1)
    wide, narrow = interval(differences, 0.99), interval(differences, 0.8)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.parametrize("shape", [(1, 4), (4, 1)])
def test_one_seed_or_scene_says_nothing(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 2 x 2"):
        interval(np.zeros(shape))


@pytest.mark.parametrize(
    ("n_seeds", "n_scenes", "stds", "at_most"),
    [
        (5, 20, (1, 0, 0.01), 0.95),  # one factor: exact
        (5, 20, (0, 1, 0.01), 0.95),
        (5, 20, (1, 1, 1), 0.97),
        (10, 20, (0.5, 0.5, 2), 0.97),
        (5, 6, (0, 0, 1), 0.99),  # nothing but noise: too wide by design, as no interval is below
        (5, 6, (1, 1, 1), 0.98),
    ],
)
def test_coverage(n_seeds: int, n_scenes: int, stds: tuple[float, ...], at_most: float) -> None:
    """Share of simulated experiments whose 95 % interval holds the truth; three binomial sigmas."""
    rng = np.random.default_rng(0)
    n = 1_000
    covered = 0
    for _ in range(n):
        differences = simulated(rng, n_seeds, n_scenes, *stds)
        low, high = crossed_interval(differences, 0.95, 400, rng)
        covered += low <= 0 <= high
    error = 3 * np.sqrt(0.95 * 0.05 / n)
    assert 0.95 - error <= covered / n <= at_most + error
