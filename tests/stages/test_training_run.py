"""What a training depends on: the params that it reads, of finetunings its cells, and no more."""

from typing import Any

import pytest
import yaml

from pipeline.config import OF_NO_RESULT, Compute, Finetuning, Params, Pretraining
from pipeline.config.section import Section
from pipeline.stages.dvc_bridge import load_stages
from pipeline.stages.training_run import COMMANDS, Item, used_params
from tests.conftest import REPOSITORY
from tests.room import small_params

#: One item of each kind of finetuning, of `small_params` with `ROWS`.
ITEMS = {
    "finetune": Item("finetune", "boxes", {"variant": "none"}, 0),
    "segmentation": Item("finetune_segmentation", "boxes", {"variant": "view"}, 0),
    "fraction": Item("finetune_fraction", "boxes", {"variant": "none", "percent": "20"}, 0),
    "network": Item("finetune_network", "boxes", {"variant": "none", "network": "pspnet"}, 0),
}
ROWS = {"rows": ["none"], "segmentation_rows": ["view"]}
SEGMENTATIONS = {"finetune", "segmentation", "fraction"}
#: Keys that one cell, segmentation in full, does not read.
OF_OTHER_CELLS = {
    *("tasks", "protocols", "steps"),
    *("mlp_channels", "frozen_batch_norm", "depth_max_m"),
}


def changed(**changes: Any) -> Params:
    """The params with other top-level keys, of sections other keys of theirs."""
    content = small_params().model_dump() | ROWS
    for key, value in changes.items():
        content[key] = content[key] | value if isinstance(value, dict) else value
    return Params.model_validate(content)


@pytest.fixture(autouse=True)
def in_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where dvc.yaml is."""
    monkeypatch.chdir(REPOSITORY)


def outdated(**changes: Any) -> set[str]:
    """Which of the items a change makes run again."""
    before, after = changed(), changed(**changes)
    return {
        name
        for name, item in ITEMS.items()
        if used_params(before, item) != used_params(after, item)
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"finetuning": {"protocols": ["full"]}}, {"finetune"}),
        ({"finetuning": {"tasks": ["segmentation"]}}, {"finetune"}),
        ({"finetuning": {"mlp_channels": 16}}, {"finetune"}),
        ({"finetuning": {"frozen_batch_norm": "train"}}, {"finetune"}),
        ({"finetuning": {"depth_max_m": 5.0}}, {"finetune"}),
        ({"finetuning": {"steps": {"frozen": 7, "half_frozen": 7, "full": 6}}}, {"finetune"}),
        ({"finetuning": {"steps": {"frozen": 6, "half_frozen": 6, "full": 7}}}, SEGMENTATIONS),
        ({"finetuning": {"learning_rate": 0.02}}, SEGMENTATIONS),
        ({"finetuning": {"miou_counting": "pri3d"}}, SEGMENTATIONS),
        ({"finetuning": {"evaluations": 3}}, ITEMS.keys()),
        ({"finetuning": {"compute": {"precision": "bf16"}}}, ITEMS.keys()),
        ({"finetuning": {"compute": {"compile": True, "channels_last": False}}}, set()),
        ({"finetuning": {"keep_weights": False, "workers": 2}}, set()),
        ({"labelled": {"label_map": [0, 1]}}, ITEMS.keys()),
        ({"label_fractions": {"by": "image"}}, {"fraction"}),
        ({"label_fractions": {"rows": ["view"], "percents": [20, 30]}}, set()),
        ({"networks": {"steps": 3}}, {"network"}),
        ({"networks": {"rows": ["view"], "names": ["deeplabv3"]}}, set()),
        ({"first_stage": ["none", "view", "geo"], "rows": ["none", "geo"]}, set()),
        ({"first_stage": ["none", "geo"], "segmentation_rows": ["geo"]}, set()),
        ({"seeds": [0, 1], "tables": ["001.t10"]}, set()),
    ],
    ids=str,
)
def test_a_change_outdates_what_reads_it(changes: dict[str, Any], expected: set[str]) -> None:
    assert outdated(**changes) == expected


def listed(section: str) -> dict[str, set[str]]:
    """Stage -> keys of a section that it depends on, for those that depend on any."""
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
    keys = {
        stage: {
            key.removeprefix(f"{section}.")
            for key in stages[stage]["params"]
            if key.startswith(section)
        }
        for stage in COMMANDS
    }
    return {stage: found for stage, found in keys.items() if found}


def that_matter(section: str, model: type[Section]) -> set[str]:
    """Keys of a section that change results."""
    compute = {f"compute.{key}" for key in Compute.model_fields}
    keys = model.model_fields.keys() - {"compute"} | compute
    return {key for key in keys if f"{section}.{key}" not in OF_NO_RESULT}


def test_every_key_of_finetuning_is_a_dependency_of_what_reads_it() -> None:
    of_all = that_matter("finetuning", Finetuning)
    of_one = of_all - OF_OTHER_CELLS | {"steps.full"}
    assert listed("finetuning") == {
        "finetune": of_all,
        "finetune_segmentation": of_one,
        "finetune_fraction": of_one,
        "finetune_network": {"evaluations", "compute.precision"},
    }


def test_every_key_of_pretraining_is_a_dependency_of_what_reads_it() -> None:
    keys = that_matter("pretraining", Pretraining)
    assert listed("pretraining") == {
        "pretrain": keys,
        "continue_pretraining": keys - {"steps", "epochs", "learning_rate"},  # it has its own
    }


def test_each_row_has_its_stage(enter, tmp_path) -> None:
    """As DVC sees it; a row that joins either list leaves the others' stages as they are."""
    enter(changed(first_stage=["none", "view", "geo"], segmentation_rows=["view", "geo"]))
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = True\n")
    assert {name for name in load_stages() if name.startswith("finetune")} == {
        "finetune@boxes-none-0",
        "finetune_segmentation@boxes-view-0",
        "finetune_segmentation@boxes-geo-0",
    }
