import re
from pathlib import Path

import pytest
import yaml
from dvc.utils.serialize import parse_yaml
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
    assert all(params.variant(row) for row in params.all_rows)
    # A default that a preset leaves out would not be seen by DVC's params.
    written = yaml.safe_load(preset.read_text())
    assert written.keys() == params.model_dump().keys()
    for section in ("pretraining", "finetuning", "model", "geometry"):
        assert written[section].keys() == params.model_dump()[section].keys(), section
    assert written["finetuning"]["steps"].keys() == config.Steps.model_fields.keys()


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


def message(tmp_path: Path, text: str) -> str:
    """Problems of a params file, without the file's name."""
    file = tmp_path / "params.yaml"
    file.write_text(text)
    with pytest.raises(ParamsError) as error:
        load_params(file)
    return str(error.value).removeprefix(f"{file}: ")


def test_says_what_is_allowed(tmp_path: Path) -> None:
    content = yaml.safe_load((REPOSITORY / "presets/embedded.yaml").read_text())
    del content["labelled"], content["dataset"]["reader"]
    content["dataset"]["scenes"] = 5
    content["variants"]["view"] = {"loss": ["view"], "losses": ["color"]}
    content["pretraining"] |= {"learning_rate": float("inf"), "steps": "many"}
    content["room"] = {}
    lines = message(tmp_path, yaml.safe_dump(content)).splitlines()
    assert lines[0] == "8 problem(s)"
    for start, allowed in {
        "labelled: missing; needed: ": "a section with the keys reader, raw_dir",
        "dataset.reader: missing; needed: ": "layout of the raw folder",
        "dataset.scenes: ": "string (is: 5), or: Input should be a valid list (is: 5); needed",
        "variants.view.loss: unknown key (is: ['view']); ": "known: losses, linear, learning_rate",
        "variants.view.losses.0: ": "Input should be 'view', 'geo', 'depth', 'set' or 'moco'",
        "pretraining.learning_rate: ": "finite number (is: inf)",
        "pretraining.steps: ": "valid integer",
        "room: unknown key (is: {}); known: ": "dataset, labelled, rooms, geometry",
    }.items():
        assert any(line.startswith(f"  {start}") and allowed in line for line in lines), start


@pytest.mark.parametrize("key", ["seeds", "rows"])
def test_a_name_stands_once(tmp_path: Path, key: str) -> None:
    """It would be two stages of the same name."""
    with pytest.raises(ParamsError, match=f"{key} is .*, but each may stand there once"):
        load_params(edited(tmp_path, **{key: [0, 0] if key == "seeds" else ["view", "view"]}))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("seeds: [0]\nseeds: [1]\n", 'line 2, column 1: found duplicate key "seeds"'),
        ("dataset: {name: a, name: b}", 'line 1, column 20: found duplicate key "name"'),
        ("seeds: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("seeds: !!python/name:os.system", "could not determine a constructor"),
        ("a: [", "line 1, column 5: expected the node content"),
        ("seeds: [0]\n--- \nseeds: [1]", "but found another document"),
        ("a: \x01", "special characters are not allowed"),
    ],
)
def test_yaml_is_plain_values_and_every_key_once(tmp_path: Path, text: str, found: str) -> None:
    assert message(tmp_path, text).startswith("not valid YAML: ")
    assert found in message(tmp_path, text)


def test_numbers_are_those_that_dvc_reads(tmp_path: Path) -> None:
    """YAML 1.1 takes 1e-2 for a text and 010 for 8."""
    text = (REPOSITORY / "presets/embedded.yaml").read_text()
    file = tmp_path / "params.yaml"
    file.write_text(
        text.replace("  seed: 0", "  seed: 010").replace("dampening: 0.1", "dampening: 1e-1")
    )
    params = load_params(file)
    with file.open() as stream:
        as_dvc = parse_yaml(stream.read(), file)
    assert params.rooms is not None
    assert params.rooms.seed == as_dvc["rooms"]["seed"] == 10
    assert params.pretraining.dampening == as_dvc["pretraining"]["dampening"] == 0.1


def test_unknown_row(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="nowhere"):
        load_params(edited(tmp_path, rows=["nowhere"]))
    with pytest.raises(ParamsError, match=r"segmentation_rows has \['nowhere'\], but may name: "):
        load_params(edited(tmp_path, segmentation_rows=["nowhere"]))


def test_a_row_is_finetuned_in_one_way(tmp_path: Path) -> None:
    """Its results have one place."""
    with pytest.raises(ParamsError, match=r"rows with segmentation_rows is .*'view'\], but each"):
        load_params(edited(tmp_path, segmentation_rows=["view"]))
    rows = load_params(edited(tmp_path)).rows
    narrow = load_params(edited(tmp_path, rows=[], segmentation_rows=rows))
    assert narrow.all_rows == rows
    assert narrow.cells("view") == [("full", "segmentation")]
    with pytest.raises(ParamsError, match="rows and segmentation_rows are both empty"):
        load_params(edited(tmp_path, first_stage=[], rows=[]))


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


def test_a_row_is_the_params_with_its_own_values() -> None:
    content = yaml.safe_load((REPOSITORY / "presets/embedded.yaml").read_text())
    content["variants"] |= {
        "own": {
            "losses": ["view"],
            "learning_rate": 0.01,
            "encoder": "resnet50",
            "init_checkpoint": "resnet50.pth",
            "colour": True,
        },
        "slow": {"losses": ["view"], "learning_rate": 0.01},
        "scratch": {"losses": [], "init": "random"},
    }
    content["model"] |= {"init": "checkpoint", "init_checkpoint": "resnet18.pth"}
    content["pretraining"]["augmentation"]["colour"] = False
    content["second_stage"] |= {"steps": None, "epochs": 3, "learning_rate": 0.05}
    content["second_stage"] |= {"starts": ["view"], "variants": ["geo", "slow"]}
    params = Params.model_validate(content)
    assert params.for_row("view") == params
    own = params.for_row("own")
    assert (own.model.encoder, own.model.init_checkpoint) == ("resnet50", "resnet50.pth")
    assert (own.pretraining.learning_rate, own.pretraining.augmentation.colour) == (0.01, True)
    assert own.for_row("own") == own
    assert params.for_row("scratch").model.init == "random"
    assert params.pretraining.learning_rate == 0.1
    for row, rate in (("view_then_geo", 0.05), ("view_then_slow", 0.01)):
        second = params.for_row(row).pretraining
        assert (second.steps, second.epochs, second.learning_rate) == (None, 3, rate)
    with pytest.raises(KeyError):
        params.for_row("nowhere")


@pytest.mark.parametrize(
    ("losses", "encoder", "stage", "found"),
    [
        (["set"], None, "first", "first_stage has more, whose losses name set"),
        ([], None, "second", "second_stage.variants has more, whose losses are []"),
        (["moco"], None, "second", "second_stage.variants has more, whose losses are ['moco']"),
        (["set"], "resnet50", "second", "view_then_more: the networks are those of the start"),
    ],
)
def test_a_stage_takes_what_it_can_train(
    losses: list[str], encoder: str | None, stage: str, found: str
) -> None:
    content = yaml.safe_load((REPOSITORY / "presets/embedded.yaml").read_text())
    content["variants"]["more"] = {"losses": losses, "encoder": encoder}
    if stage == "first":
        content["first_stage"].append("more")
        content["rows"].append("more")
    content["second_stage"] |= {"starts": ["view"], "variants": ["more"]}
    with pytest.raises(ValidationError, match=re.escape(found)):
        Params.model_validate(content)


def test_sets_that_are_not_made() -> None:
    content = yaml.safe_load((REPOSITORY / "presets/embedded.yaml").read_text())
    content["variants"]["more"] = {"losses": ["set"], "sets": {"source": 0.03}}
    content["second_stage"] |= {"starts": ["view"], "variants": ["more"]}
    with pytest.raises(ValidationError, match=r"sets of k 0\.03, which .* does not make"):
        Params.model_validate(content)
    content["variants"]["more"]["sets"]["source"] = "labels"
    Params.model_validate(content)


def test_a_file_of_its_own_is_used() -> None:
    content = yaml.safe_load((REPOSITORY / "presets/embedded.yaml").read_text())
    content["variants"]["view"]["init_checkpoint"] = "own.pth"
    params = Params.model_validate(content)
    assert params.model.init == "random"
    assert params.for_row("view").model.init == "checkpoint"


def test_a_training_needs_the_checkpoint_that_it_starts_from(tmp_path: Path) -> None:
    """A row that is not trained may lack it: the tables say so."""
    content = yaml.safe_load((REPOSITORY / "presets/embedded.yaml").read_text())
    content["variants"]["none"] = {"losses": [], "init": "checkpoint"}
    Params.model_validate(content)
    content["variants"]["view"]["init"] = "checkpoint"
    needed = r"variant view starts from a checkpoint: name its file in model.init_checkpoint or"
    with pytest.raises(ValidationError, match=needed):
        Params.model_validate(content)
    content["variants"]["view"]["init_checkpoint"] = "own.pth"
    Params.model_validate(content)
    content["second_stage"] |= {"starts": ["none"], "variants": ["geo"]}
    with pytest.raises(ValidationError, match="variant none starts from a checkpoint"):
        Params.model_validate(content)


@pytest.mark.parametrize(
    ("moco", "accumulation", "message"),
    [
        ({"batch_images": 32, "bn_images": 32}, 1, "two or more groups of bn_images"),
        ({"batch_images": 32, "bn_images": 12}, 1, "two or more groups of bn_images"),
        ({"batch_images": 34, "bn_images": 2}, 4, r"variants\.moco\..*\(34\) in 4 part"),
        ({"batch_images": 32, "bn_images": 16}, 4, "two or more groups of bn_images"),
        ({}, 4, None),
    ],
)
def test_moco_shuffles_between_groups(moco: dict, accumulation: int, message: str | None) -> None:
    content = yaml.safe_load((REPOSITORY / "presets/embedded.yaml").read_text())
    content["pretraining"] |= {"accumulation": accumulation}
    content["variants"]["moco"]["moco"] |= {"batch_images": 32, "bn_images": 4, **moco}
    Params.model_validate(content)  # nothing trains with MoCo
    content["first_stage"].append("moco")
    content["rows"].append("moco")
    if message is None:
        Params.model_validate(content)
        return
    with pytest.raises(ValidationError, match=message):
        Params.model_validate(content)


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ({"losses": ["moco"], "colour": False}, "moco always has"),
        ({"losses": ["moco"], "learning_rate": 0.01}, r"options, moco: \{learning_rate: 0\.01\}"),
        ({"losses": ["moco"], "moco": {"queue": 255}}, r"queue \(255\) .* batch_images is 256"),
        ({"losses": ["view"], "sets": {}}, r"sets: options of set, but losses is \['view'\]"),
        ({"losses": ["view"], "depth": {"weight": 2.0}}, "or name depth there"),
        ({"losses": [], "moco": {"queue": 512}}, r"moco: options of moco, but losses is \[\]"),
    ],
)
def test_options_that_no_loss_of_the_variant_has(variant: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config.Variant.model_validate(variant)


def test_a_loss_that_is_named_has_options() -> None:
    """The defaults, where nothing or null is given; no other loss has any."""
    depth = config.Variant.model_validate({"losses": ["view", "depth"], "depth": None})
    assert (depth.sets, depth.depth, depth.moco) == (None, config.DepthLoss(), None)
    assert config.Variant(losses=["set"]).sets == config.SetContrast()
    some = config.Variant.model_validate({"losses": ["moco"], "moco": {"queue": 512}})
    assert some.moco == config.Moco(queue=512)
    assert config.Variant.model_validate(some.model_dump()) == some
