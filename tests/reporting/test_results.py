"""Gathering: which runs count, and why a value is missing."""

from pathlib import Path

import pytest

from pipeline import layout
from pipeline.config import Params, load_params
from pipeline.reporting.results import Results, Run, cell_value, trained_as
from tests.reporting.conftest import write_run

PRESET = Path(__file__).parents[2] / "presets" / "embedded.yaml"


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """Two seeds; 20 % of the labels and PSPNet for VIEW+GEO only."""
    monkeypatch.chdir(tmp_path)
    params = load_params(PRESET)
    fractions = params.label_fractions.model_copy(update={"rows": ["view_geo"], "percents": [20]})
    networks = params.networks.model_copy(update={"rows": ["view_geo"], "names": ["pspnet"]})
    return params.model_copy(update={"label_fractions": fractions, "networks": networks})


def test_parts_have_results_of_their_own(params: Params) -> None:
    folder = layout.finetune_results_dir(params.dataset.name)
    for name, value in (("view_geo", 60.0), ("view_geo-20", 50.0), ("view_geo-pspnet", 55.0)):
        write_run(folder, name, 0, {"segmentation": value})
    results = Results(params)
    for part, value in (("", 60.0), ("20", 50.0), ("pspnet", 55.0)):
        cell = results.cell("view_geo", "full", "segmentation", part=part)
        assert (cell.values, cell.missing) == ({0: value}, {1: "not run"})
        last = results.cell("view_geo", "full", "segmentation", part=part, which="last")
        assert last.values == {0: value - 1}
    assert results.cell("view_geo", "full", "segmentation", metric="extra").values == {0: 7.0}


@pytest.mark.parametrize(
    ("row", "part"),
    [("view", "20"), ("view_geo", "40"), ("view", "pspnet"), ("view_geo", "deeplabv3"), ("x", "")],
)
def test_results_that_the_params_do_not_ask_for_are_not_shown(
    params: Params, row: str, part: str
) -> None:
    folder = layout.finetune_results_dir(params.dataset.name)
    write_run(folder, f"{row}-{part}" if part else row, 0, {"segmentation": 60.0})
    cell = Results(params).cell(row, "full", "segmentation", part=part)
    assert (cell.values, cell.missing) == ({}, {0: "not run", 1: "not run"})


def test_values_of_scenes(params: Params) -> None:
    scores = {"score": -3.0, "scenes": {"b": {"score": -4.0}, "a": {"score": -2.0}}}
    run = Run({"cells": {"full/depth": {"best": scores}}})
    results = Results(params)
    results.runs("view")[0] = run
    assert results.scenes("view", "full", "depth") == ["a", "b"]
    assert results.cell("view", "full", "depth", scene="b").values == {0: -4.0}
    assert results.scenes("view", "frozen", "depth") == results.scenes("geo", "full", "depth") == []


def test_reasons_for_a_missing_value() -> None:
    skipped = {"depth": "no checkpoint given", "segmentation": "no labels in the training frames"}
    run = Run({"skipped": skipped, "cells": {}})
    assert cell_value(run, "full", "depth", "best", "score") == "no checkpoint given"
    assert cell_value(run, "full", "segmentation", "best", "miou") == "no labels"
    assert cell_value(run, "full", "reconstruction", "best", "score") == "not in metrics.json"


def test_cells_of_rows_that_only_segment(params: Params) -> None:
    """Whatever an earlier run with other params has left."""
    section = {"tasks": ["depth"], "protocols": ["frozen"]}
    finetuning = params.finetuning.model_copy(update=section)
    rows = {"rows": ["geo"], "segmentation_rows": ["view"]}
    results = Results(params.model_copy(update={"finetuning": finetuning, **rows}))
    scores = {"best": {"score": -3.0, "miou": 20.0}}
    cells = {f"{p}/{t}": scores for p in ("frozen", "full") for t in ("depth", "segmentation")}
    for row in ("view", "geo"):
        results.runs(row)[0] = Run({"cells": cells})
    found = {
        (row, cell): results.cell(row, *cell.split("/")).values.get(0)
        for row in ("view", "geo")
        for cell in cells
    }
    assert {cell: value for cell, value in found.items() if value is not None} == {
        ("view", "full/segmentation"): 20.0,
        ("geo", "frozen/depth"): -3.0,
    }


def second_stages(params: Params, **own: object) -> Params:
    """`view_geo_then_set` with sets of k 0.05, beside the definition of another variant."""
    content = params.model_dump()
    content["variants"] |= {"set": {"losses": ["set"]}, "set_other": {"losses": ["set"], **own}}
    content["second_stage"] |= {"starts": ["view_geo"], "variants": ["set"]}
    content["rows"] = [*params.rows, "view_geo_then_set"]
    return Params.model_validate(content)


def test_a_second_stage_of_two_names_is_trained_once(params: Params) -> None:
    row = "view_geo_then_set_other"
    same = second_stages(params, sets={"source": 0.05})
    assert trained_as(same, row) == "view_geo_then_set"
    for sets in ({"source": 0.01}, {"aggregation": "asymmetric"}, {"min_pixels": 2}):
        assert trained_as(second_stages(params, sets=sets), row) == row
    assert trained_as(second_stages(params, learning_rate=0.01), row) == row
    params = same
    assert trained_as(params, "geo_then_set_other") == "geo_then_set_other"
    assert trained_as(params, "view_geo_then_nowhere") == "view_geo_then_nowhere"
    results = Results(params)
    results.runs("view_geo_then_set")[0] = Run({"cells": {"full/depth": {"best": {"score": -3.0}}}})
    assert results.cell(row, "full", "depth").values == {0: -3.0}
