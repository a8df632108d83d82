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
    "other_tables": {
        *("geo_lin", "view_geo_lin"),
        *("view_lr001", "geo_lr001", "view_geo_lr001"),
        "view_geo_lr001_then_set_lr001",
    },
    "other_tables_second": set(),
}
#: Networks that a preset does without: all of its encoders are ResNet18's, in one column.
LEFT_OUT = {"other_tables": "_r18"}


@pytest.mark.parametrize("preset", BESIDE)
def test_rows_are_those_of_the_tables(preset: str) -> None:
    params = load_params(REPOSITORY / f"presets/{preset}.yaml")
    sources = [source for table in params.tables for *_, source in TABLES[table].sources()]
    shown = set()
    for source in sources:
        left_out = preset in LEFT_OUT and LEFT_OUT[preset] in source.row
        if source.row in EMPTY | {MEAN_PREDICTOR} or left_out:
            continue
        row = trained_as(params, source.row)
        assert is_asked_for(params, row, source.part), source
        assert not source.against or source.against in params.all_rows
        shown.add(row)
    assert set(params.all_rows) - shown == BESIDE[preset]


@pytest.mark.parametrize(
    ("first", "second"),
    [("paper_001", "paper_001_nyuv2"), ("other_tables", "other_tables_second")],
)
def test_the_second_dataset_finds_its_networks(first: str, second: str) -> None:
    """Same names, and where they are made they are made."""
    made, used = (load_params(REPOSITORY / f"presets/{name}.yaml") for name in (first, second))
    assert used.pretrained_on == made.dataset.name
    assert set(used.all_rows) <= set(made.all_rows)
    assert all(used.variant(row) == made.variant(row) for row in used.all_rows)
    assert used.model == made.model


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
