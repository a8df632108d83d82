"""`make-tables` and `print-tables` on the results of made-up runs."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline import layout
from pipeline.__main__ import main
from pipeline.atomic import write_json
from pipeline.config import load_params
from pipeline.reporting.table_specs import TABLES
from tests.reporting.conftest import write_run

PRESET = Path(__file__).parents[2] / "presets" / "embedded.yaml"
SCORES = {"depth": -50.0, "reconstruction": -20.0, "segmentation": 12.0}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of finetuning results, in a working directory with params.yaml."""
    shutil.copy(PRESET, tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PIPELINE_PARAMS", raising=False)
    dataset = load_params().dataset.name
    for kind in ("frames", "labelled_frames"):
        write_json(layout.manifest(dataset, kind), {})
    return layout.finetune_results_dir(dataset)


def write_pictures(folder: Path, variant: str, first: str = "scene0016_00 0") -> None:
    rng = np.random.default_rng(0)
    np.savez_compressed(
        folder / f"{variant}-s0" / "pictures.npz",
        frame=np.array([first, "scene0016_00 2"]),
        image=rng.integers(0, 255, (2, 12, 16, 3)).astype(np.uint8),
        depth_true=rng.uniform(0, 4, (2, 12, 16)).astype(np.float32),
        **{
            "frozen/reconstruction": rng.integers(0, 255, (2, 12, 16, 3)).astype(np.uint8),
            "frozen/depth": rng.uniform(0, 4, (2, 12, 16)).astype(np.float32),
        },
    )


def test_tables_and_figures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (0, 1):
        write_run(folder, "view", seed, SCORES)
    write_pictures(folder, "view")
    assert main(["make-tables"]) == 0
    made = sorted(path.name for path in layout.tables_dir("rooms").iterdir())
    assert made == [
        "000_table1.csv",
        "000_table1.md",
        "000_table1.tex",
        "claims.csv",
        "claims.md",
        "claims.tex",
        "curves",
        "figure3_reconstruction.png",
        "figure4_depth.png",
        "metrics",
    ]
    capsys.readouterr()
    assert main(["print-tables"]) == 0
    printed = capsys.readouterr().out
    assert "-50.00 ± 0.00 (n=2)" in printed
    assert "not run" in printed
    assert "000_table1.csv" in printed
    assert "![" not in printed
    assert "| frozen depth: GEO better than VIEW " in printed
    assert "What the papers say" not in printed
    assert "claims.csv" in printed


def test_all_tables(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = Path("params.yaml")
    listed = ", ".join(f'"{table}"' for table in TABLES)
    params.write_text(params.read_text().replace('tables: ["000.t1"]', f"tables: [{listed}]"))
    write_run(folder, "view_geo", 0, SCORES)
    assert main(["make-tables"]) == 0
    capsys.readouterr()
    assert main(["print-tables"]) == 0
    printed = capsys.readouterr().out
    for spec in TABLES.values():
        assert f"# {spec.title}, measured on rooms" in printed
        for suffix in ("csv", "md", "tex"):
            assert str(layout.tables_dir("rooms") / f"{spec.name}.{suffix}") in printed
    assert "12.00 (n=1; seed 1: not run)" in printed


def test_no_results_at_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["make-tables"]) == 1
    assert str(folder) in capsys.readouterr().err
    assert main(["print-tables"]) == 1
    assert "make tables" in capsys.readouterr().err


def test_pictures_of_different_frames(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for variant, first in (("view", "scene0016_00 0"), ("geo", "scene0017_00 0")):
        write_run(folder, variant, 0, SCORES)
        write_pictures(folder, variant, first)
    assert main(["make-tables"]) == 1
    assert "different frames" in capsys.readouterr().err
