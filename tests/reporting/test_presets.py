"""The papers' presets train what their tables show, and nothing that nobody asks for."""

import pytest

from pipeline.config import load_params
from pipeline.reporting.results import MEAN_PREDICTOR, is_asked_for, trained_as
from pipeline.reporting.table_specs import TABLES
from tests.conftest import REPOSITORY

#: Cells that the paper leaves empty.
EMPTY = {"depth_r18"}
#: Rows of no table: the start that all others share, what a relative change is against, and what
#: another preset finetunes.
BESIDE = {
    "paper_000": {"imagenet", "geo_lin"},
    "paper_001": {
        *("view_lr001", "geo_lr001", "view_geo_lr001"),
        "view_geo_lr001_then_set_lr001",
    },
    "paper_001_nyuv2": set(),
}


@pytest.mark.parametrize("preset", BESIDE)
def test_rows_are_those_of_the_tables(preset: str) -> None:
    params = load_params(REPOSITORY / f"presets/{preset}.yaml")
    sources = [source for table in params.tables for *_, source in TABLES[table].sources()]
    shown = set()
    for source in sources:
        if source.row in EMPTY | {MEAN_PREDICTOR}:
            continue
        row = trained_as(params, source.row)
        assert is_asked_for(params, row, source.part), source
        assert not source.against or source.against in params.rows
        shown.add(row)
    assert set(params.rows) - shown == BESIDE[preset]


def test_the_second_dataset_finds_its_networks() -> None:
    """Same names, and where they are made they are made."""
    other = load_params(REPOSITORY / "presets/paper_001_nyuv2.yaml")
    first = load_params(REPOSITORY / "presets/paper_001.yaml")
    assert other.pretrained_on == first.dataset.name
    assert set(other.rows) <= set(first.rows)
    assert all(other.variant(row) == first.variant(row) for row in other.rows)
    assert other.model == first.model


def test_small_reproductions_differ_in_jitter_alone() -> None:
    """Else the difference would not be the jitter's doing."""
    plain, jitter = (
        load_params(REPOSITORY / f"presets/{name}.yaml")
        for name in ("small_reproduction", "small_reproduction_jitter")
    )
    expected = plain.model_dump()
    expected["dataset"]["name"] = expected["pretrained_on"] = jitter.dataset.name
    expected["pretraining"]["augmentation"]["colour"] = True
    assert jitter.model_dump() == expected
