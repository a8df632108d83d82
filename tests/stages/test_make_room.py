"""`make-room`: refusals that name the remedy, and the split lists."""

from pathlib import Path

import pytest
import yaml

from pipeline.__main__ import main

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    content = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    content["dataset"]["raw_dir"] = "raw"
    content["rooms"] = {
        "n_train": 2,
        "n_validation": 1,
        "frames_per_room": 4,
        "color_size": [24, 32],
        "depth_size": [24, 32],
        "mesh_voxel_size_m": 0.1,
    }
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PIPELINE_PARAMS", raising=False)
    Path("params.yaml").write_text(yaml.safe_dump(content))
    return content


@pytest.mark.usefixtures("params")
def test_room_and_splits() -> None:
    assert main(["make-room", "--splits"]) == 0
    assert Path("raw/splits/scannetv2_train.txt").read_text() == "scene0000_00\nscene0001_00\n"
    assert Path("raw/splits/scannetv2_val.txt").read_text() == "scene0002_00\n"
    assert main(["make-room", "scene0002_00"]) == 0
    assert len(list(Path("raw/scans/scene0002_00").iterdir())) == 6


@pytest.mark.usefixtures("params")
@pytest.mark.parametrize("arguments", [[], ["scene0000_00", "--splits"], ["scene0003_00"]])
def test_refusals(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["make-room", *arguments]) == 1
    error = capsys.readouterr().err
    assert "scene0000_00..scene0002_00" in error or "--splits" in error


def test_no_rooms(params: dict, capsys: pytest.CaptureFixture[str]) -> None:
    Path("params.yaml").write_text(yaml.safe_dump(params | {"rooms": None}))
    assert main(["make-room", "scene0000_00"]) == 1
    assert "params.rooms is null" in capsys.readouterr().err
