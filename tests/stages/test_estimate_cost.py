"""`estimate-cost`: the table of a preset, with its sums and sources."""

import re

import pytest
import yaml

from pipeline.__main__ import main
from tests.conftest import REPOSITORY


def table(text: str) -> dict[str, list[float]]:
    """Row -> pretraining, finetuning, together, GB."""
    rows = re.findall(r"^\| (?:`|\*\*)(\w[\w ]*)(?:`|\*\*) +\|(.+)\|$", text, re.MULTILINE)
    return {
        name: [float(cell.replace(",", "")) for cell in cells.split("|")] for name, cells in rows
    }


@pytest.mark.parametrize("preset", ["paper_000", "paper_001", "paper_001_nyuv2"])
def test_presets(preset, capsys):
    file = REPOSITORY / f"presets/{preset}.yaml"
    assert main(["estimate-cost", str(file)]) == 0
    text = capsys.readouterr().out
    rows = table(text)
    sums, seeds = rows.pop("one seed"), rows.pop("2 seeds")
    params = yaml.safe_load(file.read_text())
    assert rows.keys() == {*params["rows"], *params["segmentation_rows"]}
    for column in range(4):
        together = sum(row[column] for row in rows.values())
        assert together == pytest.approx(sums[column], abs=0.51 * len(rows))
        assert seeds[column] == pytest.approx(2 * sums[column], abs=1.1)
    assert "768 GPU-hours" in text
    assert "paper 000 section 4.1.1" in text


def test_own_throughput_and_split(tmp_path, capsys):
    content = yaml.safe_load((REPOSITORY / "presets/paper_000.yaml").read_text())
    content["dataset"]["pretrain_split"] = "train"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    arguments = ["estimate-cost", str(tmp_path / "params.yaml"), "--pairs-per-second", "2"]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "2 pairs a second and GPU, as given" in text
    expected = 5 * 804_000 * 1201 / 1513 / 2 / 3600
    assert table(text)["view"][0] == pytest.approx(expected, abs=0.51)


def test_what_cannot_be_estimated(capsys):
    def refused(*arguments: str) -> str:
        assert main(["estimate-cost", *arguments]) == 1
        return capsys.readouterr().err

    assert "dataset rooms: its size is not known" in refused(
        str(REPOSITORY / "presets/embedded.yaml")
    )
    paper = str(REPOSITORY / "presets/paper_000.yaml")
    assert "must be positive, is 0.0" in refused(paper, "--pairs-per-second", "0")
