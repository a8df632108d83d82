"""`choose-tables` on params files as they are shipped, and its notes in `check-params`."""

import difflib
import shutil
from pathlib import Path

import pytest
import yaml

from pipeline.__main__ import main
from pipeline.config import Params, load_params
from pipeline.reporting.reference import reference_tables
from pipeline.reporting.table_needs import (
    lacking_runs,
    measured_sources,
    rows_in_no_table,
    table_notes,
)
from pipeline.reporting.table_specs import TABLES

PRESETS = sorted((Path(__file__).parents[2] / "presets").glob("*.yaml"))
EMBEDDED = next(preset for preset in PRESETS if preset.stem == "embedded")
#: A line of its variants.
K01 = "  set_k01: {losses: [set], sets: {source: 0.01}}\n"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """params.yaml: the embedded preset, which lacks variants of paper 001's Tables 1 and 6."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PIPELINE_PARAMS", raising=False)
    return Path(shutil.copy(EMBEDDED, "params.yaml"))


def changed_lines(before: str, after: str) -> set[str]:
    difference = difflib.ndiff(before.splitlines(), after.splitlines())
    return {line[2:] for line in difference if line.startswith("+ ")}


def test_only_the_lists_change(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = file.read_text()
    assert main(["choose-tables", "000.t1", "001.t10"]) == 0
    assert changed_lines(before, file.read_text()) == {
        'tables: ["000.t1", "001.t10"]',
        "  starts: [view_geo]",
        "  variants: [view, geo, view_geo, set]",
        "segmentation_rows: [",
        "  view_geo_then_view, view_geo_then_geo, view_geo_then_view_geo, view_geo_then_set,",
        "]",
    }
    params = load_params(file)
    assert params.tables == ["000.t1", "001.t10"]
    assert table_notes(params) == []
    out = capsys.readouterr().out
    assert "9 rows" in out
    assert "anew" not in out
    # What is chosen already is not written again.
    written = file.stat().st_mtime_ns
    assert main(["choose-tables", "000.t1", "001.t10"]) == 0
    assert file.stat().st_mtime_ns == written


@pytest.mark.parametrize("name", ["paper_000", "paper_001"])
def test_the_papers_presets_ask_for_what_their_tables_need(tmp_path: Path, name: str) -> None:
    """As far as the tables go; other rows of theirs serve other presets or the claims."""
    (preset,) = (each for each in PRESETS if each.stem == name)
    file = tmp_path / "params.yaml"
    file.write_text(preset.read_text())
    before = load_params(file)
    assert main(["choose-tables", *before.tables, "--file", str(file)]) == 0
    after = load_params(file)
    assert set(after.rows) <= set(before.rows)
    assert set(after.segmentation_rows) <= set(before.segmentation_rows)
    assert [lacking_runs(after, table) for table in after.tables] == [[] for _ in after.tables]
    # The k of the sets that view_geo_then_set has anyway is not trained again.
    assert "view_geo_then_set_k05" not in after.all_rows
    assert ("view_geo_then_set_k04" in after.all_rows) == (name == "paper_001")
    if name == "paper_000":
        assert set(after.segmentation_rows) == {
            *("geo_lin", "geo_lin_d", "view_d", "view_geo_d"),
            *("view_geo_lin_d", "view_geo_lin_d_lr001"),
        }


def test_fewer_tables_ask_for_less(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["choose-tables", "001.t2"]) == 0
    moved = "from rows to segmentation_rows, so finetuned anew: view_geo\n"
    assert moved in capsys.readouterr().out
    params = load_params(file)
    assert (params.rows, params.segmentation_rows) == ([], ["view_geo", "view_geo_then_set"])
    assert params.first_stage == ["view_geo"]
    assert params.second_stage.rows() == {"view_geo_then_set": ("view_geo", "set")}
    assert params.label_fractions.rows == ["view_geo", "view_geo_then_set"]
    assert table_notes(params) == []
    assert main(["choose-tables", "000.t1"]) == 0
    moved = "from segmentation_rows to rows, so finetuned anew: view_geo\n"
    assert moved in capsys.readouterr().out
    # Nothing but the layout of what was rewritten may differ from the preset.
    before = yaml.safe_load(EMBEDDED.read_text())
    after = yaml.safe_load(file.read_text())
    assert before == after


def test_variants_that_the_file_does_not_define(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = file.read_text()
    assert main(["choose-tables", "001.t1"]) == 1
    message = capsys.readouterr().err
    base = ("imagenet", "depth")
    r18 = ("none_r18", "imagenet_r18", "moco_r18", "view_r18", "geo_r18", "view_geo_r18")
    for name in base + r18:
        assert f" {name}" in message
    assert "depth_r18" not in message  # the paper has no number there
    assert " set" not in message.partition("define: ")[2].partition(";")[0]
    assert file.read_text() == before


def test_sets_that_the_geometry_does_not_make(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = file.read_text()
    for digit in range(2, 6):
        line = f"  set_k0{digit}: {{losses: [set], sets: {{source: 0.0{digit}}}}}\n"
        text = text.replace(K01, K01 + line)
    file.write_text(text)
    assert main(["choose-tables", "001.t9"]) == 1
    assert "geometry.oversegmentation.k" in capsys.readouterr().err
    assert file.read_text() == text


def test_a_second_dataset(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["choose-tables", "001.t6"]) == 1
    message = capsys.readouterr().err
    assert "pretrained_on: rooms" in message
    assert "view_geo_lr001" in message
    variants = {
        "imagenet": {"losses": [], "init": "random"},
        **{
            f"{name}_lr001": {"losses": losses, "learning_rate": 0.01}
            for name, losses in {
                "view": ["view"], "geo": ["geo"], "view_geo": ["view", "geo"], "set": ["set"],
            }.items()
        },
    }  # fmt: skip
    content = yaml.safe_load(file.read_text())
    content["pretrained_on"] = "elsewhere"
    content["first_stage"] = []
    content["variants"] |= variants
    file.write_text(yaml.safe_dump(content))
    assert main(["choose-tables", "001.t6"]) == 0
    params = load_params(file)
    assert params.first_stage == params.second_stage.starts == params.second_stage.variants == []
    assert params.segmentation_rows[-1] == "view_geo_lr001_then_set_lr001"
    assert table_notes(params) == []
    assert main(["choose-tables", "001.t10"]) == 1
    assert "elsewhere" in capsys.readouterr().err


@pytest.mark.parametrize("table", TABLES)
def test_what_a_table_needs_is_what_it_shows(table: str) -> None:
    """As many cells as the paper has numbers, of columns that are not other datasets' or AP."""
    spec = TABLES[table]
    published = sum(
        reference_tables()[block.reference].value(row.label, column.label) is not None
        for block, row, column, _ in spec.sources()
    )
    extra = {"000.t1": 3 * 3}  # random weights
    assert len(list(measured_sources(spec))) == published + extra.get(table, 0)


def params_with(**changes: object) -> Params:
    return load_params(EMBEDDED).model_copy(update=changes)


def test_what_a_table_lacks() -> None:
    params = load_params(EMBEDDED)
    assert lacking_runs(params, "000.t1") == []
    assert lacking_runs(params, "001.t10") == [
        "view_geo_then_view", "view_geo_then_geo", "view_geo_then_view_geo", "view_geo_then_set"
    ]  # fmt: skip
    fractions = params.label_fractions.model_copy(
        update={"rows": ["view_geo"], "percents": [20, 60]}
    )
    params = params_with(label_fractions=fractions)
    assert lacking_runs(params, "001.t2") == [
        "view_geo at 40 %", "view_geo at 80 %", "view_geo_then_set"
    ]  # fmt: skip
    assert "view_geo with pspnet" in lacking_runs(params, "001.t3")
    frozen = params.finetuning.model_copy(update={"protocols": ["frozen"]})
    # Table 1 has no other blocks then, of the others nothing would be left.
    assert lacking_runs(params_with(finetuning=frozen), "000.t1") == []
    assert "view_geo full segmentation" in lacking_runs(params_with(finetuning=frozen), "001.t10")


def test_notes(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = params_with(tables=["001.t2"])
    assert rows_in_no_table(params) == ["none", "view", "geo", "view_geo_lin"]
    assert rows_in_no_table(params_with(tables=["001.t2", "000.t1"])) == []
    second = params.second_stage.model_copy(update={"starts": ["view"], "variants": ["geo"]})
    notes = " ".join(table_notes(params_with(tables=["001.t6"], second_stage=second)))
    assert "001.t6 is of networks that were pretrained on another dataset" in notes
    assert "second_stage also makes view_then_geo" in notes
    assert main(["check-params"]) == 0
    assert "note:" not in capsys.readouterr().out
    file.write_text(file.read_text().replace('tables: ["000.t1"]', 'tables: ["001.t2"]'))
    assert main(["check-params"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert 'note: table 001.t2 will show as "not run": view_geo at 20 %' in out
    assert "note: rows that no table shows: none, view, geo, view_geo_lin" in out
