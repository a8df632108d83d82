"""Tables of kept runs: what the csv files of `make-tables` say, side by side."""

from pathlib import Path

import pytest

from pipeline.reporting import measured_tables
from pipeline.reporting.measured_tables import measured_claims, measured_table

HEAD = "table,column,task,row,scene,metric,which,values,missing,paper_value\n"


def line(row: str, values: str, missing: str = "", paper: str = "", **other: str) -> str:
    kinds = {"scene": "all", "metric": "miou", "which": "best"} | other
    own = (row, kinds["scene"], kinds["metric"], kinds["which"], values, missing, paper)
    return ",".join(("000.t1.frozen", "ScanNet mIoU", "segmentation", *own)) + "\n"


@pytest.fixture(autouse=True)
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(measured_tables, "MEASURED", tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    return tmp_path


def cells(table: str) -> list[list[str]]:
    lines = [text for text in table.splitlines() if not text.startswith("| :")]
    return [[cell.strip() for cell in text.strip("|").split("|")] for text in lines]


def test_best_values_beside_each_other(measured: Path) -> None:
    others = (
        line("VIEW", "0=1.0", which="last")
        + line("VIEW", "0=1.0", scene="scene0000_00")
        + line("VIEW", "0=1.0", metric="pixel_accuracy")
    )
    own = line("VIEW", "0=8.0; 1=10.0", paper="34.64")
    (measured / "a" / "t.csv").write_text(HEAD + own + line("GEO", "", "0=not run") + others)
    (measured / "b" / "t.csv").write_text(HEAD + line("VIEW", "0=7.0", "1=diverged", "34.64"))
    assert cells(measured_table("000.t1.frozen", "a", "b")) == [
        ["pretraining", "segmentation: a", "segmentation: b", "PUBLISHED"],
        ["VIEW", "9.00 ± 1.41 (n=2)", "7.00 (n=1; seed 1: diverged)", "34.64"],
        ["GEO", "not run", "-", "-"],
    ]


def test_a_run_without_the_block_is_named(measured: Path) -> None:
    (measured / "a" / "t.csv").write_text(HEAD)
    with pytest.raises(FileNotFoundError, match=r"a: no table has 000\.t1\.full"):
        measured_table("000.t1.full", "a")


def test_claims_beside_each_other(measured: Path) -> None:
    head = "title,claim_verdict,comparison,which,effect,low,high,paper_effect\n"
    for name, verdict in (("a", "holds"), ("b", "undecided")):
        rows = [
            f"VIEW best,{verdict},view over geo,best,1.0,0.5,1.5,27.31\n",
            f"VIEW best,{verdict},view over geo,last,9.0,9.0,9.0,\n",
            f"VIEW best,{verdict},view over none,best,-2.0,-3.0,-1.0,1.0\n",
        ]
        (measured / name / "claims.csv").write_text(head + "".join(rows))
    first, second = cells(measured_claims("a", "b"))[1:]
    effect = "+1.00 [+0.50, +1.50]"
    assert first == ["VIEW best", "view over geo", effect, "holds", effect, "undecided", "+27.31"]
    assert second[:4] == ["", "view over none", "-2.00 [-3.00, -1.00]", ""]
