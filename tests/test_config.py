from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from pipeline import config
from pipeline.config import Params, ParamsError, load_params
from pipeline.geometry import correspondence

REPOSITORY = Path(__file__).parents[1]
PRESETS = sorted((REPOSITORY / "presets").glob("*.yaml"))


def edited(tmp_path: Path, **sections: object) -> Path:
    """The default params with some top-level keys replaced."""
    content = yaml.safe_load((REPOSITORY / "presets/embedded.yaml").read_text())
    for key, value in sections.items():
        content[key] = content[key] | value if isinstance(value, dict) else value
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.mark.parametrize("preset", PRESETS, ids=lambda file: file.stem)
def test_presets_are_valid_and_complete(preset: Path) -> None:
    params = load_params(preset)
    assert set(params.rows) <= set(params.variants)
    # A default that a preset leaves out would not be seen by DVC's params.
    written = yaml.safe_load(preset.read_text())
    assert written.keys() == params.model_dump().keys()
    for section in ("pretraining", "finetuning", "model", "geometry"):
        assert written[section].keys() == params.model_dump()[section].keys(), section


def test_committed_params_are_a_preset() -> None:
    params = (REPOSITORY / "params.yaml").read_text()
    assert params in [preset.read_text() for preset in PRESETS]


def test_names_key_value_and_choices(tmp_path: Path) -> None:
    file = edited(
        tmp_path,
        dataset={"frame_stride": 0, "reader": "kitti"},
        finetuning={"epoch": 3},
        rows=["view", "nowhere"],
    )
    with pytest.raises(ParamsError) as error:
        load_params(file)
    text = str(error.value)
    assert str(file) in text
    assert "dataset.frame_stride" in text
    assert "(is: 0)" in text
    assert "'scannet'" in text
    assert "finetuning.epoch" in text


def test_unknown_row(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="nowhere"):
        load_params(edited(tmp_path, rows=["nowhere"]))


@pytest.mark.parametrize("text", ["a: [", "", "just words"])
def test_not_a_params_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(text)
    with pytest.raises(ParamsError, match=r"params\.yaml"):
        load_params(file)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="presets"):
        load_params(tmp_path / "none.yaml")


def test_section_hash_sees_only_its_sections(tmp_path: Path) -> None:
    before = load_params(edited(tmp_path))
    after = load_params(edited(tmp_path, pretraining={"learning_rate": 0.01}))
    assert before.section_hash("dataset", "geometry") == after.section_hash("dataset", "geometry")
    assert before.section_hash("pretraining") != after.section_hash("pretraining")


def test_the_match_radius_is_a_few_voxels() -> None:
    content = load_params(REPOSITORY / "presets/paper_000.yaml").model_dump()
    content["geometry"]["matching"]["radius_m"] = 0.07
    with pytest.raises(
        ValidationError, match=r"radius_m is 0.07, allowed are up to 3 voxels: 0.06"
    ):
        Params.model_validate(content)
    content["geometry"]["matching"]["mode"] = "pri3d"
    Params.model_validate(content)
    assert correspondence.MAX_RADIUS_VOXELS == config.MAX_RADIUS_VOXELS
