from pipeline.config import load_params
from pipeline.reporting.curves import mean_curves, mean_scores
from pipeline.reporting.results import Run
from tests.reporting.test_make_tables import PRESET


def run(score: float, loss: float, **cells: object) -> Run:
    """Metrics of a run with one cell, after two steps of pretraining and of finetuning."""
    curve = [{"step": 2, "score": score - 1}, {"step": 4, "score": score}]
    return Run(
        {
            "pretraining": [{"step": 1, "loss": 2 * loss}, {"step": 2, "loss": loss}],
            "cells": {"frozen/depth": {"best": {"score": score}, "curve": curve}, **cells},
        }
    )


def test_means_over_the_seeds() -> None:
    params = load_params(PRESET)
    missing = Run(None, "not run")
    runs = {variant: {0: missing, 1: missing} for variant in params.rows}
    runs["view"] = {0: run(-10.0, 3.0), 1: run(-20.0, 5.0)}
    diverged = run(float("nan"), 4.0)
    runs["geo"] = {0: run(-30.0, 1.0), 1: diverged}
    assert mean_scores(params, runs, "view") == {"frozen": {"depth": -15.0}}
    assert mean_scores(params, runs, "geo") == {"frozen": {"depth": -30.0}}
    assert mean_scores(params, runs, "none") == {}
    curves = mean_curves(params, runs)
    others = {"none": None, "view_geo": None, "view_geo_lin": None}
    assert curves == {
        "pretraining": [
            {"step": 1, "view": 8.0, "geo": 5.0, **others},
            {"step": 2, "view": 4.0, "geo": 2.5, **others},
        ],
        "frozen-depth": [
            {"step": 2, "view": -16.0, "geo": -31.0, **others},
            {"step": 4, "view": -15.0, "geo": -30.0, **others},
        ],
    }
