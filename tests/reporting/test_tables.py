"""Records of the tables: statistics, missing runs, published numbers, csv."""

import csv
import io
import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipeline import layout
from pipeline.config import Compute, Params, Variant, load_params
from pipeline.reporting.frame_counts import count_statuses, describe_counts
from pipeline.reporting.labels import row_label, variant_label
from pipeline.reporting.markdown import format_cell
from pipeline.reporting.reference import reference_tables
from pipeline.reporting.results import ALL_SCENES, MEAN_PREDICTOR, Cell, Results
from pipeline.reporting.table_specs import TABLES, Source
from pipeline.reporting.tables import (
    TableRecord,
    fit_spec,
    relative_change,
    results_hash,
    table_records,
)
from pipeline.reporting.tidy_csv import COLUMNS, to_csv
from tests.reporting.conftest import write_run

PRESET = Path(__file__).parents[2] / "presets" / "embedded.yaml"
ROWS = ["none", "view", "geo", "view_geo", "view_geo_lin"]


@pytest.fixture
def params() -> Params:
    return load_params(PRESET).model_copy(update={"seeds": [0, 1, 2], "rows": ROWS})


@pytest.fixture
def results(params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    """Three seeds of all rows; GEO's seed 1 diverged, its seed 2 was not run; one file is cut."""
    monkeypatch.chdir(tmp_path)
    folder = layout.finetune_results_dir(params.dataset.name)
    for row, variant in enumerate(ROWS):
        for seed in params.seeds:
            if (variant, seed) == ("geo", 2):
                continue
            depth = math.nan if (variant, seed) == ("geo", 1) else -50.0 - row - 2 * seed
            write_run(folder, variant, seed, {"depth": depth, "reconstruction": -9.0})
    damaged = layout.finetune_metrics(params.dataset.name, "view_geo", 2)
    damaged.write_text(damaged.read_text()[:100])
    return Results(params)


def extended(params: Params, **lists: object) -> Params:
    """Params that ask for more rows; nothing is validated, so their variants need not exist."""
    return params.model_copy(update=lists)


def find(records: list[TableRecord], slug: str, **wanted: str) -> TableRecord:
    """The record of a slug over all scenes whose attributes, or its source's, are as wanted."""
    (found,) = [
        record
        for record in records
        if record.source.row == slug
        and record.scene == wanted.get("scene", ALL_SCENES)
        and all(
            getattr(record if hasattr(record, name) else record.source, name) == value
            for name, value in wanted.items()
        )
    ]
    return found


def test_mean_and_sample_deviation(params: Params, results: Results) -> None:
    cell = find(
        table_records(params, "000.t1", results),
        "view", protocol="full", task="depth", metric="score", which="best",
    ).cell  # fmt: skip
    values = [-51.0, -53.0, -55.0]
    assert cell.values == dict(zip([0, 1, 2], values, strict=True))
    assert cell.mean == pytest.approx(np.mean(values))
    assert cell.std == pytest.approx(np.std(values, ddof=1))


def test_one_value_has_no_deviation() -> None:
    assert Cell({0: 1.5}, {}).std is None
    assert format_cell(Cell({0: 1.5}, {})) == "1.50 (n=1)"


def test_missing_and_diverged_runs_stay_visible(params: Params, results: Results) -> None:
    records = table_records(params, "000.t1", results)
    wanted = {"protocol": "frozen", "task": "depth", "metric": "score", "which": "best"}
    geo = find(records, "geo", **wanted).cell
    assert geo.values == {0: -52.0}
    assert geo.missing == {1: "diverged: nan", 2: "not run"}
    assert format_cell(geo) == "-52.00 (n=1; seed 1: diverged: nan; seed 2: not run)"
    damaged = find(records, "view_geo", **wanted).cell
    assert damaged.missing[2].startswith("unreadable metrics.json")
    segmentation = find(
        records, "view", protocol="full", task="segmentation", metric="miou", which="last"
    )
    assert format_cell(segmentation.cell) == "not in metrics.json"
    # Every row has its line in every block, the mean predictor too.
    assert len({(record.block, record.row) for record in records}) == 3 * (len(ROWS) + 1)


def test_a_run_that_did_not_end(params: Params, results: Results) -> None:
    layout.checkpoint_dir("pretrain", params.dataset.name, "geo", 2).mkdir(parents=True)
    cell = Results(params).cell("geo", "full", "depth")
    assert cell.missing[2] == "not finished"
    asked = extended(params, rows=[*ROWS, "view_geo_then_set"])
    layout.checkpoint_dir("continue_pretraining", "rooms", "view_geo-set", 0).mkdir(parents=True)
    cell = Results(asked).cell("view_geo_then_set", "full", "depth")
    assert cell.missing == {0: "not finished", 1: "not run", 2: "not run"}


def test_data_without_labels(params: Params, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = layout.finetune_results_dir(params.dataset.name)
    skipped = {"segmentation": "no labels in the training frames"}
    for seed in params.seeds:
        write_run(folder, "view", seed, {"depth": -1.0}, skipped=skipped)
    records = table_records(params, "000.t1", Results(params))
    cell = find(
        records, "view", protocol="full", task="segmentation", metric="miou", which="best"
    ).cell
    assert format_cell(cell) == "no labels"


@pytest.mark.parametrize("task", ["depth", "reconstruction", "segmentation"])
def test_published_numbers_stand_only_beside_best_tabulated_values(
    params: Params, results: Results, task: str
) -> None:
    records = [
        record for record in table_records(params, "000.t1", results) if record.source.task == task
    ]
    published = [record for record in records if record.paper_value is not None]
    # Four rows of the paper, three blocks; random weights and the mean predictor have none.
    assert len(published) == 12
    assert {record.which for record in published} == {"best"}
    assert {record.tabulated for record in published} == {True}
    assert not {"none", MEAN_PREDICTOR}.intersection(record.source.row for record in published)
    assert all("ScanNet" in record.paper_place for record in published)
    assert not any(record.paper_place for record in records if record.paper_value is None)


def test_every_spec_fits_the_published_table() -> None:
    """Labels of rows and columns are the papers', but for the two rows that are added."""
    for spec in TABLES.values():
        for block, row, column, _ in spec.sources():
            reference = reference_tables()[block.reference]
            assert column.label in reference.columns
            added = spec.table == "000.t1" and row.row in ("none", MEAN_PREDICTOR)
            assert (row.label in reference.rows) == (not added)
        for block in spec.blocks:
            labels = {row.label for row in block.rows}
            assert set(reference_tables()[block.reference].rows) <= labels
    assert len({spec.name for spec in TABLES.values()}) == len(TABLES)


def test_paper_001_has_all_its_columns() -> None:
    for table in ("001.t1", "001.t2", "001.t3", "001.t6", "001.t9", "001.t10", "001.text"):
        columns = tuple(column.label for column in TABLES[table].columns)
        assert columns == reference_tables()[table].columns


@pytest.mark.parametrize(
    ("table", "row", "column", "source"),
    [
        ("001.t1", "Ours", "ResNet18", Source("view_geo_r18_then_set", "full", "segmentation")),
        ("001.t1", "From Scratch", "ResNet18", Source("none_r18", "full", "segmentation")),
        ("001.t2", "Ours", "40%", Source("view_geo_then_set", "full", "segmentation", "40")),
        ("001.t2", "Ours", "100%", Source("view_geo_then_set", "full", "segmentation")),
        ("001.t3", "PSPNet(Pri3D)", "ResNet50",
         Source("view_geo", "full", "segmentation", "pspnet")),
        ("001.t6", "Ours", "ResNet50",
         Source("view_geo_lr001_then_set_lr001", "full", "segmentation")),
        ("001.t9", "Ours", "0.03", Source("view_geo_then_set_k03", "full", "segmentation")),
        ("000.s2", "VIEW+GEO+d (lin, lr001)", "ScanNet mIoU",
         Source("view_geo_lin_d_lr001", "full", "segmentation")),
    ],
)  # fmt: skip
def test_sources(table: str, row: str, column: str, source: Source) -> None:
    found = {(each.label, at.label): of for _, each, at, of in TABLES[table].sources()}
    assert found[row, column] == source


def test_fewer_labels_beside_all_of_them(params: Params, results: Results) -> None:
    """Row Ours of 001.t2: its own run is the column of all labels; 60 % is not asked for."""
    rows = [*ROWS, "view_geo_then_set"]
    fractions = params.label_fractions.model_copy(
        update={"rows": ["view_geo_then_set"], "percents": [20, 40]}
    )
    params = extended(params, rows=rows, label_fractions=fractions, tables=["001.t2"])
    folder = layout.finetune_results_dir("rooms")
    for seed, miou in enumerate((10.0, 12.0, 17.0)):
        write_run(folder, "view_geo_then_set", seed, {"segmentation": miou})
        write_run(folder, "view_geo_then_set-20", seed, {"segmentation": miou / 2})
    records = table_records(params, "001.t2", Results(params))
    texts, published = {}, {}
    for record in records:
        if record.row == "Ours" and record.tabulated and record.which == "best":
            texts[record.column] = format_cell(record.cell)
            published[record.column] = record.paper_value
    # Mean 13, deviations -3, -1, 4: variance (9 + 1 + 16) / 2 = 13, of the halves 13 / 4.
    assert texts == {
        "20%": "6.50 ± 1.80 (n=3)",
        "40%": "not run",
        "60%": "not run",
        "80%": "not run",
        "100%": "13.00 ± 3.61 (n=3)",
    }
    reference = reference_tables()["001.t2"]
    assert published == {column: reference.value("Ours", column) for column in reference.columns}


def test_an_empty_cell_of_the_paper_is_not_measured(params: Params, results: Results) -> None:
    records = table_records(params, "001.t1", results)
    cells = {(record.row, record.column) for record in records}
    assert ("Depth Prediction", "ResNet50") in cells
    assert ("Depth Prediction", "ResNet18") not in cells
    assert len(cells) == 15


@pytest.mark.parametrize(("pretrained_on", "data"), [("rooms", "ScanNet"), ("other", "NYUv2")])
def test_published_numbers_are_of_the_kind_of_dataset(
    params: Params, results: Results, pretrained_on: str, data: str
) -> None:
    """Beside a second dataset stand paper 000's numbers on its own second one."""
    params = extended(params, pretrained_on=pretrained_on)
    for record in table_records(params, "000.t1", results):
        assert record.column.startswith(data)
        value = reference_tables()[record.table].value(record.row, record.column)
        if value is not None and record.paper_place:
            assert record.paper_value == value
    found = find(
        table_records(params, "000.t1", results),
        "view", protocol="frozen", task="depth", metric="score", which="best",
    )  # fmt: skip
    assert found.paper_value == {"ScanNet": -35.73, "NYUv2": -120.93}[data]
    assert f"{data} depth" in found.paper_place


def test_relative_change_is_paired_by_seed() -> None:
    cell = relative_change(
        Cell({0: 55.0, 1: 60.0, 2: 9.0}, {3: "not run"}), Cell({0: 50.0, 1: 40.0}, {2: "diverged"})
    )
    assert cell == Cell({0: 10.0, 1: 50.0}, {2: "diverged", 3: "not run"})
    assert relative_change(Cell({0: -40.0}, {}), Cell({0: -50.0}, {})).values == {0: 20.0}


def test_relative_changes_of_the_supplement(params: Params, results: Results) -> None:
    params = extended(params, rows=["view", "view_d"], seeds=[5])
    folder = layout.finetune_results_dir("rooms")
    write_run(folder, "view", 5, {"segmentation": 20.0})
    write_run(folder, "view_d", 5, {"segmentation": 21.0})
    found = {
        (record.table, record.which): record
        for record in table_records(params, "000.s1", Results(params))
        if record.row == "VIEW+d" and record.tabulated
    }
    assert found["000.s1", "best"].cell.values == {5: 21.0}
    assert found["000.s1.rel", "best"].cell.values == {5: 5.0}
    assert found["000.s1.rel", "last"].cell.values == {5: pytest.approx(100 / 19)}
    reference = reference_tables()["000.s1.rel"]
    assert found["000.s1.rel", "best"].paper_value == reference.value("VIEW+d", "ScanNet mIoU")


def test_the_mean_predictor_is_one_run_of_all_protocols(params: Params, results: Results) -> None:
    scores = {"depth": {"score": -70.5, "rmse_m": 0.84, "scenes": {}}}
    file = layout.mean_predictor("rooms")
    file.write_text(json.dumps({"tasks": scores, "skipped": {"segmentation": "no labels in all"}}))
    records = table_records(params, "000.t1", Results(params))
    for protocol in ("frozen", "half_frozen", "full"):
        wanted = {"protocol": protocol, "which": "best"}
        cell = find(records, MEAN_PREDICTOR, task="depth", metric="score", **wanted).cell
        assert (cell.mean, cell.std, len(cell.values)) == (-70.5, None, 1)
        cell = find(records, MEAN_PREDICTOR, task="segmentation", metric="miou", **wanted).cell
        assert format_cell(cell) == "no labels"


def test_rows_that_no_table_has_stand_in_table_1(params: Params) -> None:
    variants = params.variants | {"both": Variant(losses=["view", "geo"], learning_rate=0.05)}
    rows = [*ROWS, "both", "view_geo_then_view"]
    params = extended(params, rows=rows, variants=variants, tables=["000.t1", "001.t10"])
    labels = [row.label for row in fit_spec(params, "000.t1").blocks[0].rows]
    assert labels[-2:] == ["VIEW+GEO (lin)", "VIEW+GEO (lr 0.05)"]
    assert fit_spec(params, "001.t10") == TABLES["001.t10"]


def test_protocols_and_tasks_that_are_not_asked_for(params: Params, results: Results) -> None:
    finetuning = params.finetuning.model_copy(update={"protocols": ["frozen"], "tasks": ["depth"]})
    params = extended(params, finetuning=finetuning)
    records = table_records(params, "000.t1", results)
    assert {record.source.protocol for record in records} == {"frozen"}
    assert {record.source.task for record in records} == {"depth"}
    # Nothing would be left of a table of paper 001, so all of it is shown as not run.
    full = table_records(params, "001.t10", Results(params))
    assert {format_cell(record.cell) for record in full} == {"not run"}


def test_csv_is_tidy_and_exact(params: Params, results: Results) -> None:
    records = table_records(params, "000.t1", results)
    text = to_csv(records, "rooms", "0123456789ab")
    lines = list(csv.DictReader(io.StringIO(text)))
    assert tuple(lines[0]) == COLUMNS
    assert len(lines) == len(records)
    for line, record in zip(lines, records, strict=True):
        assert int(line["n"]) == len(record.cell.values)
        assert (float(line["mean"]) if line["mean"] else None) == record.cell.mean
        assert (float(line["std"]) if line["std"] else None) == record.cell.std
        stored = [float(part.split("=")[1]) for part in line["values"].split("; ") if part]
        assert stored == list(record.cell.values.values())
        assert (float(line["paper_value"]) if line["paper_value"] else None) == record.paper_value
        assert (line["slug"], line["which"]) == (record.source.row, record.which)
    assert {line["metric"] for line in lines} == {"score", "miou", "extra"}
    assert {line["params"] for line in lines} == {"0123456789ab"}


@pytest.mark.parametrize(
    ("variant", "label"),
    [
        (Variant(losses=[]), "no pretraining"),
        (Variant(losses=["view", "geo"]), "VIEW+GEO"),
        (Variant(losses=["view", "geo"], linear=True), "VIEW+GEO (lin)"),
        (Variant(losses=["view", "geo", "depth"], linear=True), "VIEW+GEO+d (lin)"),
        (Variant(losses=["geo"], linear=True, learning_rate=0.01), "GEO (lin, lr 0.01)"),
        (Variant(losses=["depth"]), "depth prediction"),
        (Variant(losses=["moco"], encoder="resnet18"), "MoCo v2 (resnet18)"),
        (Variant(losses=["set"], sets={"source": "labels"}), "set-InfoNCE (sets by label)"),
        (Variant(losses=["set"], sets={"source": 0.05}), "set-InfoNCE"),
        (
            Variant(losses=["set"], sets={"source": 0.01, "aggregation": "asymmetric"}),
            "set-InfoNCE (k 0.01, asymmetric)",
        ),
        (Variant(losses=["view", "depth"], depth={"weight": 0.5}), "VIEW+d (weight 0.5)"),
        (Variant(losses=["moco"], moco={"queue": 512}), "MoCo v2 (queue 512)"),
        (Variant(losses=["view"], colour=False), "VIEW (without colour jitter)"),
    ],
)
def test_labels(variant: Variant, label: str) -> None:
    assert variant_label(variant) == label


def test_labels_of_second_stages(params: Params) -> None:
    params = extended(params, variants=params.variants | {"set": Variant(losses=["set"])})
    assert row_label(params, "view_geo_lin_then_set") == "VIEW+GEO (lin), then set-InfoNCE"
    assert row_label(params, "view") == "VIEW"
    with pytest.raises(KeyError):
        row_label(params, "view_then_nothing")


def test_results_hash_ignores_what_no_number_depends_on(params: Params) -> None:
    def changed(of: Params, **parts) -> str:
        geometry = of.geometry.model_copy(update=parts)
        return results_hash(of.model_copy(update={"geometry": geometry}))

    same = params.geometry.oversegmentation.model_copy(update={"min_vertices": 7})
    other = params.geometry.matching.model_copy(update={"mode": "pri3d"})
    assert changed(params, oversegmentation=same) == results_hash(params)
    assert changed(params, matching=other) != results_hash(params)
    assert results_hash(extended(params, tables=["001.t1"])) == results_hash(params)
    sets = extended(params, rows=[*params.rows, "view_geo_then_set"])
    assert changed(sets, oversegmentation=same) != results_hash(sets)


@pytest.mark.parametrize(
    ("section", "changes", "is_same"),
    [
        ("pretraining", {"workers": 7, "checkpoint_every": 7}, True),
        ("finetuning", {"workers": 7, "keep_weights": False}, True),
        ("pretraining", {"compute": Compute(compile=True, channels_last=False)}, True),
        ("finetuning", {"compute": Compute(compile=True, channels_last=False)}, True),
        ("pretraining", {"compute": Compute(precision="bf16")}, False),
        ("finetuning", {"epochs": 7}, False),
    ],
)
def test_results_hash_ignores_how_fast_it_went(
    params: Params, section: str, changes: dict[str, object], is_same: bool
) -> None:
    other = getattr(params, section).model_copy(update=changes)
    assert other != getattr(params, section)
    assert (results_hash(extended(params, **{section: other})) == results_hash(params)) == is_same


def test_frame_counts(repository_with_scene: Path) -> None:
    artifacts = repository_with_scene / layout.artifacts_dir("rooms")
    files = [layout.artifact(artifacts, scene, "frames") for scene in ("scene0000_00", "absent")]
    counts = count_statuses(files, "frames")
    assert counts == {"ok": 4, "no_pose": 1, "(scene without a frames table)": 1}
    assert describe_counts(Counter(ok=3)) == "3 used, 0 skipped"
