"""Bootstrap over two crossed factors: seeds and scenes."""

import math

import numpy as np
from jaxtyping import Float
from scipy import stats


def _stretch(n: int, upper: float) -> float:
    """Widening of a bootstrapped mean of n draws: Student's t with the sample variance.

    A resample of n values varies as 1 / n times their plain variance, which is too small by
    (n - 1) / n, and normal quantiles forget that this variance is itself estimated. With five
    seeds an interval without it covers the truth in 84 instead of 95 % of experiments.
    """
    student = stats.t.ppf(upper, n - 1) / stats.norm.ppf(upper)
    return float(math.sqrt(n / (n - 1)) * student)


def crossed_interval(
    differences: Float[np.ndarray, "seeds scenes"],
    confidence: float,
    resamples: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Confidence interval of the mean, for seeds and scenes that were not tried as well.

    The model is d[seed, scene] = mean + a[seed] + b[scene] + e[seed, scene]. Values of one seed
    share its a and those of one scene its b, so the seeds x scenes values are no independent
    sample. Seeds are drawn with replacement, and scenes, independently of them; a resample's mean
    is the mean of all plus the deviation due to the drawn seeds (over all scenes) plus that due to
    the drawn scenes (over all seeds), each stretched as `_stretch` says. This is the pigeonhole
    bootstrap without its product term. Both deviations contain e, which would count twice: all
    deviations are shrunk to the variance that the analysis of variance gives for the mean,
    V_seeds + V_scenes - V_e, but never below the larger of V_seeds and V_scenes, since an estimated
    V_e may be too large. The interval lies between the quantiles of the resampled means.

    Args:
        differences: Paired: one seed and one scene of both sides; at least 2 x 2, finite.
        confidence: Of the interval, in (0, 1).
        resamples: How often to draw.
        rng: Draws them.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: fewer than two seeds or scenes, of which nothing can be said.

    Source: Owen 2007, "The pigeonhole bootstrap"; Hesterberg 2015, section 5.3, for the stretch.
    """
    n_seeds, n_scenes = differences.shape
    if min(n_seeds, n_scenes) < 2:
        raise ValueError(f"{n_seeds} seeds x {n_scenes} scenes: at least 2 x 2 are needed")
    mean = differences.mean()
    of_seed, of_scene = differences.mean(axis=1) - mean, differences.mean(axis=0) - mean
    rest = differences - mean - of_seed[:, None] - of_scene
    v_seeds = np.square(of_seed).sum() / (n_seeds - 1) / n_seeds
    v_scenes = np.square(of_scene).sum() / (n_scenes - 1) / n_scenes
    v_rest = np.square(rest).sum() / ((n_seeds - 1) * (n_scenes - 1) * differences.size)
    variance = max(v_seeds, v_scenes, v_seeds + v_scenes - v_rest)
    shrink = math.sqrt(variance / (v_seeds + v_scenes)) if variance > 0 else 0.0

    upper = (1 + confidence) / 2
    deviations = np.zeros(resamples)
    for effects in (of_seed, of_scene):
        n = len(effects)
        shares = rng.multinomial(n, np.full(n, 1 / n), size=resamples) / n
        deviations += _stretch(n, upper) * (shares @ effects)
    low, high = mean + shrink * np.quantile(deviations, [1 - upper, upper])
    return float(low), float(high)
