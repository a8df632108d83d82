"""Verdicts on claims, from hand-made metrics of seeds and scenes."""

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest

from pipeline import layout
from pipeline.config import Params, load_params
from pipeline.evaluation.bootstrap import crossed_interval
from pipeline.reporting.claims import Comparison, claims_file
from pipeline.reporting.claims_page import COLUMNS, to_csv, to_latex, to_markdown
from pipeline.reporting.paired_scores import paired_scores
from pipeline.reporting.results import Results
from pipeline.reporting.table_specs import Source
from pipeline.reporting.verdicts import (
    EvaluatedClaim,
    Outcome,
    Verdict,
    evaluate_claims,
    judge,
    region,
)

PRESET = Path(__file__).parents[2] / "presets" / "embedded.yaml"
SCENES = ("scene0016_00", "scene0017_00", "scene0018_00")
SEEDS = [0, 1, 2, 3, 4]
FROZEN_DEPTH = "frozen/depth"
COMPARED = Comparison(
    ((1.0, Source("geo", "frozen", "depth")), (-1.0, Source("view", "frozen", "depth")))
)


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """Of a working directory without results, with the four pretrainings of Table 1."""
    monkeypatch.chdir(tmp_path)
    found = load_params(PRESET)
    claims = found.claims.model_copy(update={"resamples": 1_000})
    return found.model_copy(update={"seeds": SEEDS, "claims": claims, "tables": ["000.t1"]})


def write_scores(
    params: Params, row: str, seed: int, cell: str, scenes: dict[str, float], pooled: float = 1.0
) -> None:
    """metrics.json of one run with one cell; `last` is worse by 100."""
    metric = "miou" if cell.endswith("segmentation") else "score"
    of = {
        which: {
            metric: pooled - worse,
            "scenes": {scene: {metric: value - worse} for scene, value in scenes.items()},
        }
        for which, worse in (("best", 0.0), ("last", 100.0))
    }
    file = layout.finetune_metrics(params.dataset.name, row, seed)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"skipped": {}, "cells": {cell: of}}))


def write_pair(params: Params, differences: np.ndarray, cell: str = FROZEN_DEPTH) -> None:
    """Runs of GEO and VIEW whose scores differ so (seeds, scenes), on scenes of their own level."""
    for seed, of_scene in zip(params.seeds, differences, strict=False):
        view = {scene: -50.0 * (i + 1) - seed for i, scene in enumerate(SCENES)}
        geo = {
            scene: view[scene] + float(value)
            for scene, value in zip(SCENES, of_scene, strict=False)
        }
        write_scores(params, "view", seed, cell, view, pooled=-10.0)
        write_scores(params, "geo", seed, cell, geo, pooled=-7.0)


def found(params: Params, claim: str, which: str = "best") -> EvaluatedClaim:
    evaluated = evaluate_claims(params, Results(params), which)
    return next(each for each in evaluated if each.claim.id == claim)


def noisy(mean: float, std: float = 0.1) -> np.ndarray:
    return mean + std * np.random.default_rng(0).normal(size=(len(SEEDS), len(SCENES)))


def test_scores_are_paired_by_seed_and_scene(params: Params) -> None:
    differences = noisy(2.0)
    write_pair(params, differences)
    scores = paired_scores(Results(params), COMPARED, "best")
    np.testing.assert_allclose(scores.differences, differences, rtol=1e-9)
    assert scores.pooled == 3.0
    assert scores.missing == ()


def test_the_outcome_is_the_mean_with_its_bootstrapped_interval(params: Params) -> None:
    differences = noisy(2.0)
    write_pair(params, differences)
    (outcome,) = found(params, "frozen_depth_geo_view").outcomes
    assert outcome.effect == pytest.approx(differences.mean())
    expected = crossed_interval(differences, 0.95, 1_000, np.random.default_rng(0))
    assert outcome.interval == pytest.approx(expected)
    assert (outcome.n_seeds, outcome.n_scenes, outcome.pooled) == (5, 3, 3.0)
    assert outcome.paper_effect == pytest.approx(-26.75 + 35.73)


@pytest.mark.parametrize(
    ("mean", "std", "verdict"),
    [
        (2.0, 0.1, Verdict.HOLDS),
        (-2.0, 0.1, Verdict.FAILS),
        (0.2, 5.0, Verdict.UNDECIDED),
    ],
)
def test_verdicts(params: Params, mean: float, std: float, verdict: Verdict) -> None:
    write_pair(params, noisy(mean, std))
    assert found(params, "frozen_depth_geo_view").verdict == verdict


def test_under_five_seeds_nothing_is_decided(params: Params) -> None:
    four = params.model_copy(update={"seeds": SEEDS[:4]})
    write_pair(four, noisy(100.0))
    each = found(four, "frozen_depth_geo_view")
    assert each.verdict == Verdict.UNDECIDED
    assert each.outcomes[0].interval is not None
    assert each.outcomes[0].interval[0] > 90


def test_one_scene_decides_nothing(params: Params) -> None:
    write_pair(params, noisy(100.0)[:, :1])
    for seed in SEEDS:  # VIEW has all scenes
        write_scores(params, "geo", seed, FROZEN_DEPTH, {SCENES[0]: 50.0})
    each = found(params, "frozen_depth_geo_view")
    assert each.outcomes[0].n_scenes == 1
    assert each.outcomes[0].interval is None
    assert each.verdict == Verdict.UNDECIDED


def test_a_seed_that_one_side_lacks_is_left_out_and_named(params: Params) -> None:
    write_pair(params, noisy(2.0))
    write_scores(params, "geo", 3, FROZEN_DEPTH, dict.fromkeys(SCENES, 0.0), pooled=math.nan)
    (outcome,) = found(params, "frozen_depth_geo_view").outcomes
    assert outcome.n_seeds == 4
    assert outcome.verdict == Verdict.UNDECIDED
    assert outcome.missing == ("geo: seed 3: diverged: nan",)


def test_a_scene_without_a_score_is_left_out(params: Params) -> None:
    differences = noisy(2.0)
    differences[:, 1] = np.nan  # no valid pixel
    write_pair(params, differences)
    scores = paired_scores(Results(params), COMPARED, "best")
    np.testing.assert_allclose(scores.differences, differences[:, [0, 2]], rtol=1e-9)


def test_without_runs_it_says_what_is_missing(params: Params) -> None:
    for seed in SEEDS:
        write_scores(params, "view", seed, FROZEN_DEPTH, dict.fromkeys(SCENES, -1.0))
    each = found(params, "frozen_depth_geo_view")
    assert each.verdict == Verdict.NOT_RUN
    assert each.outcomes[0].missing == ("geo: not run",)
    assert each.outcomes[0].effect is None


def test_scores_from_before_scenes_were_kept(params: Params) -> None:
    for row in ("view", "geo"):
        for seed in SEEDS:
            write_scores(params, row, seed, FROZEN_DEPTH, {})
    (outcome,) = found(params, "frozen_depth_geo_view").outcomes
    assert outcome.verdict == Verdict.NOT_RUN
    assert outcome.missing == ("no scene has a score of every seed",)
    assert outcome.pooled == 0.0


def test_last_scores_have_verdicts_of_their_own(params: Params) -> None:
    write_pair(params, noisy(2.0))
    for seed in SEEDS:
        file = layout.finetune_metrics(params.dataset.name, "geo", seed)
        content = json.loads(file.read_text())
        for scores in content["cells"][FROZEN_DEPTH]["last"]["scenes"].values():
            scores["score"] -= 10
        file.write_text(json.dumps(content))
    assert found(params, "frozen_depth_geo_view").verdict == Verdict.HOLDS
    assert found(params, "frozen_depth_geo_view", "last").verdict == Verdict.FAILS


def test_ten_percent_better_of_a_negative_score(params: Params) -> None:
    """-44 is 12 % better than -50, -46 only 8 %."""
    for value, verdict in ((-44.0, Verdict.HOLDS), (-46.0, Verdict.FAILS)):
        for seed in SEEDS:
            for row, score in (("view_geo", -50.0), ("view_geo_lin", value)):
                scores = dict.fromkeys(SCENES, score + 0.01 * seed)
                write_scores(params, row, seed, FROZEN_DEPTH, scores)
        each = found(params, "frozen_lin_10_percent")
        assert each.outcomes[0].effect == pytest.approx(value + 0.9 * 50 + 0.1 * 0.02)
        assert each.outcomes[0].verdict == verdict
        assert each.outcomes[1].verdict == Verdict.NOT_RUN


@pytest.mark.parametrize(
    ("direction", "interval", "verdict"),
    [
        ("better", (0.1, 0.2), Verdict.HOLDS),
        ("better", (-0.1, 0.2), Verdict.UNDECIDED),
        ("better", (-0.3, -0.1), Verdict.FAILS),
        ("better", (0.0, 0.0), Verdict.FAILS),
        ("not_worse", (-0.2, 5.0), Verdict.HOLDS),
        ("not_worse", (-0.4, 5.0), Verdict.UNDECIDED),
        ("not_worse", (-0.5, -0.31), Verdict.FAILS),
        ("alike", (-0.2, 0.2), Verdict.HOLDS),
        ("alike", (0.1, 0.31), Verdict.UNDECIDED),
        ("alike", (-1.0, 1.0), Verdict.UNDECIDED),
        ("alike", (0.4, 1.0), Verdict.FAILS),
        ("alike", (-1.0, -0.4), Verdict.FAILS),
    ],
)
def test_rules(direction: str, interval: tuple[float, float], verdict: Verdict) -> None:
    assert judge(interval, region(direction, 0.3), 5, 2) == verdict
    undecided = Verdict.UNDECIDED
    assert judge(interval, region(direction, 0.3), 4, 9) == undecided
    assert judge(interval, region(direction, 0.3), 9, 1) == undecided


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["HOLDS", "HOLDS"], Verdict.HOLDS),
        (["HOLDS", "UNDECIDED"], Verdict.UNDECIDED),
        (["UNDECIDED", "NOT_RUN"], Verdict.NOT_RUN),
        (["NOT_RUN", "HOLDS", "FAILS"], Verdict.FAILS),
    ],
)
def test_a_claim_holds_if_each_comparison_does(verdicts: list[str], expected: Verdict) -> None:
    outcomes = tuple(
        Outcome(COMPARED, Verdict[name], None, None, 0, 0, None, None, ()) for name in verdicts
    )
    claim = claims_file().claims[0]
    assert EvaluatedClaim(claim, "best", 0.0, outcomes).verdict == expected


def pages(params: Params) -> tuple[list[dict[str, str]], str, str]:
    results = Results(params)
    best, last = (evaluate_claims(params, results, which) for which in ("best", "last"))
    table = list(csv.DictReader(io.StringIO(to_csv([*best, *last], params))))
    return table, to_markdown(best, last, params), to_latex(best, last, params)


def test_pages(params: Params) -> None:
    write_pair(params, noisy(2.0))
    table, markdown, latex = pages(params)
    (line,) = (
        line
        for line in table
        if line["claim"] == "frozen_depth_geo_view" and line["which"] == "best"
    )
    assert tuple(line) == COLUMNS
    assert line["cells"] == "+1 geo/frozen/depth; -1 view/frozen/depth"
    assert line["verdict"] == line["claim_verdict"] == "holds"
    assert float(line["effect"]) == pytest.approx(noisy(2.0).mean())
    assert float(line["low"]) < float(line["effect"]) < float(line["high"])
    assert float(line["paper_effect"]) == pytest.approx(8.98)
    assert (line["n_seeds"], line["n_scenes"], line["dataset"]) == ("5", "3", "rooms")
    assert len([row for row in table if row["which"] == "last"]) == len(table) / 2

    assert "the error of `does not hold` grows with their number" in markdown
    assert "The margin is absolute, in the paper's units" in markdown
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in markdown.splitlines()]
    title = "frozen depth: GEO better than VIEW"
    assert [title, "paper 000, section 4.2", "1 of 1", "holds", "holds"] in rows
    (detail,) = (row for row in rows if row[0] == title and "over" in row[1])
    assert detail[1] == "geo over view, frozen depth"
    assert detail[2].startswith(f"{noisy(2.0).mean():+.2f} [+")
    assert detail[3:] == ["5 x 3", "+3.00", "+8.98", "holds"]
    # Of a claim with three comparisons, one was run.
    assert ["", "view_geo over view, frozen depth", "view_geo: not run"] in [
        row[:3] for row in rows
    ]
    assert "cross-modal GEO loss leads to a better depth representation" in markdown
    assert "(derived)" in markdown

    assert r"\begin{longtable}" in latex
    assert r"view\_geo over view, frozen depth & view\_geo: not run & 0 x 0 & - & +6.85" in latex
    body = latex.partition("\n")[2]
    assert body.count("{") == body.count("}")
    assert body.isascii()


def test_pages_of_tables_without_claims(params: Params) -> None:
    table, markdown, _ = pages(params.model_copy(update={"tables": ["001.text"]}))
    assert table == []
    assert "No claim compares cells of these tables alone" in markdown


def test_pages_on_a_second_dataset(params: Params) -> None:
    rates = params.model_copy(update={"tables": ["000.s2"], "pretrained_on": "scannet"})
    table, markdown, _ = pages(rates)
    assert {line["claim"] for line in table} == {"learning_rate_second_data"}
    assert "view_geo_lin_d: not run" in markdown
    assert "+3.47" in markdown  # NYUv2's
