"""Table 1: statistics, missing runs, published numbers, csv and Markdown."""

import csv
import io
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipeline import layout
from pipeline.config import Params, Variant, load_params
from pipeline.reporting.frame_counts import count_statuses, describe_counts
from pipeline.reporting.markdown import format_cell, markdown_table, render
from pipeline.reporting.results import Cell, variant_label
from pipeline.reporting.tables import (
    CSV_COLUMNS,
    TableRecord,
    read_runs,
    results_hash,
    table1_records,
    to_csv,
)
from tests.reporting.conftest import write_run

PRESET = Path(__file__).parents[2] / "presets" / "embedded.yaml"
ROWS = ["none", "view", "geo", "view_geo", "view_geo_lin"]


@pytest.fixture
def params() -> Params:
    return load_params(PRESET).model_copy(update={"seeds": [0, 1, 2], "rows": ROWS})


@pytest.fixture
def runs(params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Three seeds of all rows; GEO's seed 1 diverged, its seed 2 was not run; one file is cut."""
    monkeypatch.chdir(tmp_path)
    folder = layout.finetune_results_dir(params.dataset.name)
    for row, variant in enumerate(ROWS):
        for seed in params.seeds:
            if (variant, seed) == ("geo", 2):
                continue
            depth = math.nan if (variant, seed) == ("geo", 1) else -50.0 - row - 2 * seed
            write_run(folder, variant, seed, {"depth": depth, "reconstruction": -9.0})
    damaged = layout.finetune_results(params.dataset.name, "view_geo", 2) / "metrics.json"
    damaged.write_text(damaged.read_text()[:100])
    return read_runs(params)


def find(records: list[TableRecord], **wanted: str) -> TableRecord:
    (found,) = [
        record
        for record in records
        if all(getattr(record, name) == value for name, value in wanted.items())
    ]
    return found


def test_mean_and_sample_deviation(params: Params, runs) -> None:
    cell = find(
        table1_records(params, runs),
        protocol="full", variant="VIEW", task="depth", metric="score", which="best",
    ).cell  # fmt: skip
    values = [-51.0, -53.0, -55.0]
    assert cell.values == dict(zip([0, 1, 2], values, strict=True))
    assert cell.mean == pytest.approx(np.mean(values))
    assert cell.std == pytest.approx(np.std(values, ddof=1))


def test_one_value_has_no_deviation() -> None:
    assert Cell({0: 1.5}, {}).std is None
    assert format_cell(Cell({0: 1.5}, {})) == "1.50 (n=1)"


def test_missing_and_diverged_runs_stay_visible(params: Params, runs) -> None:
    records = table1_records(params, runs)
    wanted = {"protocol": "frozen", "task": "depth", "metric": "score", "which": "best"}
    geo = find(records, variant="GEO", **wanted).cell
    assert geo.values == {0: -52.0}
    assert geo.missing == {1: "diverged: nan", 2: "not run"}
    damaged = find(records, variant="VIEW+GEO", **wanted).cell
    assert damaged.missing[2].startswith("unreadable metrics.json")
    segmentation = find(
        records,
        protocol="full", variant="VIEW", task="segmentation", metric="miou", which="last",
    )  # fmt: skip
    assert format_cell(segmentation.cell) == "missing (not in metrics.json)"
    labels = {(r.protocol, r.variant) for r in records}
    assert len(labels) == 3 * len(ROWS)


def test_data_without_labels(params: Params, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = layout.finetune_results_dir(params.dataset.name)
    skipped = {"segmentation": "no labels in the training frames"}
    for seed in params.seeds:
        write_run(folder, "view", seed, {"depth": -1.0}, skipped=skipped)
    records = table1_records(params, read_runs(params))
    cell = find(
        records, protocol="full", variant="VIEW", task="segmentation", metric="miou", which="best"
    ).cell
    assert format_cell(cell) == "no labels"


@pytest.mark.parametrize("task", ["depth", "reconstruction", "segmentation"])
def test_published_numbers_stand_only_beside_best_tabulated_values(
    params: Params, runs, task: str
) -> None:
    records = [record for record in table1_records(params, runs) if record.task == task]
    published = [record for record in records if record.paper_value is not None]
    # Four rows of the paper, three blocks; the row without pretraining has none.
    assert len(published) == 12
    assert {record.which for record in published} == {"best"}
    assert {record.tabulated for record in published} == {True}
    assert "no pretraining" not in {record.variant for record in published}
    assert all("ScanNet" in record.paper_column for record in published)
    assert not any(record.paper_column for record in records if record.paper_value is None)


def test_csv_is_tidy_and_exact(params: Params, runs) -> None:
    records = table1_records(params, runs)
    lines = list(csv.DictReader(io.StringIO(to_csv(records))))
    assert list(lines[0]) == CSV_COLUMNS
    assert len(lines) == len(records)
    for line, record in zip(lines, records, strict=True):
        assert int(line["n"]) == len(record.cell.values)
        assert (float(line["mean"]) if line["mean"] else None) == record.cell.mean
        assert (float(line["std"]) if line["std"] else None) == record.cell.std
        stored = [float(part.split("=")[1]) for part in line["values"].split("; ") if part]
        assert stored == list(record.cell.values.values())
        assert (float(line["paper_value"]) if line["paper_value"] else None) == record.paper_value
    assert {line["metric"] for line in lines} == {"score", "miou", "extra"}


def test_markdown_page(params: Params, runs) -> None:
    page = render(
        params,
        runs,
        table1_records(params, runs),
        {"pretraining": Counter(ok=40, no_pose=2)},
        {"figure.png": "A figure"},
    )
    best, last = (
        [line for line in section.splitlines() if line.startswith("|")]
        for section in page.split("\n## ")[1:3]
    )
    header = [cell.strip() for cell in best[0].strip("|").split("|")]
    assert header[2:4] == ["depth: measured", "depth: PUBLISHED"]
    assert len(best) == len(last) == 2 + 3 * len(ROWS)
    assert "PUBLISHED" not in last[0]
    assert len({len(line) for line in best}) == 1
    first = [cell.strip() for cell in best[2].strip("|").split("|")]
    assert first[:2] == ["frozen", "no pretraining"]
    assert first[2].startswith("-52.00 ± 2.00 (n=3)")
    assert first[3] == first[5] == first[7] == "not in the paper"
    for fact in ("96 x 128", "resnet18", "random", "0, 1, 2", "12 / 5", results_hash(params)):
        assert fact in page
    assert "40 used, 2 skipped (no_pose 2)" in page
    assert "![A figure](figure.png)" in page


def test_what_the_params_leave_out_is_said(params: Params, runs) -> None:
    finetuning = params.finetuning.model_copy(update={"protocols": ["frozen"]})
    fewer = params.model_copy(update={"rows": ["none", "view"], "finetuning": finetuning})
    page = render(fewer, runs, table1_records(fewer, runs), {}, {})
    assert "row GEO" in page
    assert "protocol full" in page


@pytest.mark.parametrize(
    ("variant", "label"),
    [
        (Variant(losses=[]), "no pretraining"),
        (Variant(losses=["view", "geo"]), "VIEW+GEO"),
        (Variant(losses=["view", "geo"], linear=True), "VIEW+GEO (lin)"),
        (Variant(losses=["geo"], linear=True, learning_rate=0.01), "GEO (lin, lr 0.01)"),
    ],
)
def test_labels(variant: Variant, label: str) -> None:
    assert variant_label(variant) == label


def test_results_hash_ignores_what_no_number_depends_on(params: Params) -> None:
    def changed(**parts) -> str:
        geometry = params.geometry.model_copy(update=parts)
        return results_hash(params.model_copy(update={"geometry": geometry}))

    same = params.geometry.oversegmentation.model_copy(update={"min_vertices": 7})
    other = params.geometry.matching.model_copy(update={"mode": "pri3d"})
    assert changed(oversegmentation=same) == results_hash(params)
    assert changed(matching=other) != results_hash(params)


def test_markdown_table_alignment() -> None:
    assert markdown_table(["a", "bbb"], [["cc", "1"]], 1).splitlines() == [
        "| a  | bbb |",
        "| :- | --: |",
        "| cc |   1 |",
    ]


def test_frame_counts(repository_with_scene: Path) -> None:
    artifacts = repository_with_scene / layout.artifacts_dir("rooms")
    files = [layout.artifact(artifacts, scene, "frames") for scene in ("scene0000_00", "absent")]
    counts = count_statuses(files, "frames")
    assert counts == {"ok": 4, "no_pose": 1, "(scene without a frames table)": 1}
    assert describe_counts(Counter(ok=3)) == "3 used, 0 skipped"
