"""The papers' claims put to the test: does each hold over seeds and validation scenes?"""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from pipeline.config import Params
from pipeline.evaluation.bootstrap import crossed_interval
from pipeline.reporting.claims import Claim, Comparison, claims_of
from pipeline.reporting.paired_scores import paired_scores
from pipeline.reporting.paper_effects import margin, paper_effect
from pipeline.reporting.results import Results
from pipeline.reporting.tables import is_second_dataset

#: With fewer seeds every claim is undecided: their spread would be known too badly.
MIN_SEEDS = 5
#: With one scene nothing is known about others.
MIN_SCENES = 2
#: Of the bootstrap, anew for each comparison, so that none depends on which others are made.
_RESAMPLING_SEED = 0


class Verdict(StrEnum):
    """On a comparison or a claim."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNDECIDED = "undecided"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Outcome:
    """A comparison as measured.

    Attributes:
        comparison: what was compared.
        verdict: on it.
        effect: mean difference over seeds and scenes; None where it was not run.
        interval: of the effect; None with fewer than 2 seeds or scenes.
        n_seeds: that all cells have.
        n_scenes: likewise.
        pooled: difference of the tables' scores over the same seeds.
        paper_effect: of the published numbers; None where one is not printed.
        missing: why cells have no score, or seeds are left out.
    """

    comparison: Comparison
    verdict: Verdict
    effect: float | None
    interval: tuple[float, float] | None
    n_seeds: int
    n_scenes: int
    pooled: float | None
    paper_effect: float | None
    missing: tuple[str, ...]


@dataclass(frozen=True)
class EvaluatedClaim:
    """A claim with what was measured.

    Attributes:
        claim: as in claims.yaml.
        which: "best" or "last" scores.
        margin: a difference within it counts as none; 0 for "better".
        outcomes: one a comparison.
    """

    claim: Claim
    which: str
    margin: float
    outcomes: tuple[Outcome, ...]

    @property
    def verdict(self) -> Verdict:
        """A claim says the same of all its comparisons: one that fails decides, else all count."""
        found = {outcome.verdict for outcome in self.outcomes}
        order = (Verdict.FAILS, Verdict.NOT_RUN, Verdict.UNDECIDED, Verdict.HOLDS)
        return next(verdict for verdict in order if verdict in found)


def region(direction: str, margin: float) -> tuple[float, float]:
    """Open interval in which a claim says that its effects lie."""
    return {
        "better": (0.0, math.inf),
        "not_worse": (-margin, math.inf),
        "alike": (-margin, margin),
    }[direction]


def judge(
    interval: tuple[float, float] | None, claimed: tuple[float, float], n_seeds: int, n_scenes: int
) -> Verdict:
    """Compare an effect's confidence interval with what a claim says.

    Args:
        interval: Measured; None if there is none.
        claimed: From `region`.
        n_seeds: Below MIN_SEEDS nothing is decided.
        n_scenes: Below MIN_SCENES likewise.

    Returns:
        HOLDS if the whole interval lies in the claimed region, FAILS if none of it does.
    """
    if n_seeds * n_scenes == 0:
        return Verdict.NOT_RUN
    if interval is None or n_seeds < MIN_SEEDS or n_scenes < MIN_SCENES:
        return Verdict.UNDECIDED
    (low, high), (lowest, highest) = interval, claimed
    if lowest < low and high < highest:
        return Verdict.HOLDS
    return Verdict.FAILS if high <= lowest or highest <= low else Verdict.UNDECIDED


def evaluate_claims(params: Params, results: Results, which: str) -> list[EvaluatedClaim]:
    """Every claim whose cells stand in the tables asked for, in the papers' order.

    Args:
        params: `claims` has confidence and resamples.
        results: The runs.
        which: "best" or "last".
    """
    evaluated = []
    for claim in claims_of(params):
        width = margin(claim)
        outcomes = tuple(
            _measure(params, results, claim, comparison, which, width)
            for comparison in claim.comparisons()
        )
        evaluated.append(EvaluatedClaim(claim, which, width, outcomes))
    return evaluated


def _measure(
    params: Params,
    results: Results,
    claim: Claim,
    comparison: Comparison,
    which: str,
    width: float,
) -> Outcome:
    scores = paired_scores(results, comparison, which)
    n_seeds, n_scenes = scores.differences.shape
    interval = None
    if min(n_seeds, n_scenes) >= 2:
        interval = crossed_interval(
            scores.differences,
            params.claims.confidence,
            params.claims.resamples,
            np.random.default_rng(_RESAMPLING_SEED),
        )
    return Outcome(
        comparison=comparison,
        verdict=judge(interval, region(claim.direction, width), n_seeds, n_scenes),
        effect=float(scores.differences.mean()) if scores.differences.size else None,
        interval=interval,
        n_seeds=n_seeds,
        n_scenes=n_scenes,
        pooled=scores.pooled,
        paper_effect=paper_effect(claim, comparison, is_second_dataset(params)),
        missing=scores.missing,
    )
