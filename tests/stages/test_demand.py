"""What a training asks of Slurm, as a share of the papers'."""

import re

import pytest
import yaml

from pipeline.config import Params, Steps, load_params
from pipeline.stages.demand import demand
from tests.conftest import REPOSITORY


def shares(params: Params) -> dict[str, float]:
    return {name: float(value) for name, value in demand(params).items()}


def with_changes(section: str, **changes: object) -> Params:
    params = load_params(REPOSITORY / "presets/paper_000.yaml")
    changed = getattr(params, section).model_copy(update=changes)
    return params.model_copy(update={section: changed})


@pytest.mark.parametrize("preset", ["paper_000", "paper_001"])
def test_the_papers_are_1(preset: str) -> None:
    paper = shares(load_params(REPOSITORY / f"presets/{preset}.yaml"))
    # Paper 001 finetunes one cell of nine; its largest part of the labels is 80 %.
    expected = dict.fromkeys(paper, 1.0) | {"FRACTION_WORK": 0.8}
    expected["FINETUNE_WORK"] = 1 / 9 if preset == "paper_001" else 1.0
    assert paper == pytest.approx(expected, rel=1e-4)


def test_their_steps_by_number_are_as_many_as_the_epochs_are() -> None:
    assert shares(with_changes("pretraining", steps=62_800))["PRETRAIN_WORK"] == pytest.approx(1)
    assert shares(with_changes("second_stage", steps=25_120))["CONTINUE_WORK"] == pytest.approx(1)
    assert shares(with_changes("networks", steps=62_500))["NETWORK_WORK"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("section", "changes", "step", "work"),
    [
        ("pretraining", {"batch_pairs": 32}, 0.5, 1.0),  # twice the steps of half the size
        ("pretraining", {"accumulation": 1}, 1.0, 1.0),
        ("pretraining", {"steps": 6_280}, 1.0, 0.1),
        ("pretraining", {"steps": 6_280, "batch_pairs": 32}, 0.5, 0.05),
        ("pretraining", {"epochs": 10}, 1.0, 2.0),
        ("dataset", {"image_size": (120, 160)}, 0.25, 0.25),
        ("model", {"width": 0.5}, 0.25, 0.25),
        ("model", {"encoder": "resnet18"}, 0.44, 0.44),
    ],
)
def test_pretraining(section: str, changes: dict, step: float, work: float) -> None:
    found = shares(with_changes(section, **changes))
    assert (found["PRETRAIN_STEP"], found["PRETRAIN_WORK"]) == pytest.approx((step, work))


def test_finetuning() -> None:
    only_frozen = with_changes("finetuning", protocols=["frozen"])
    assert shares(only_frozen)["FINETUNE_WORK"] == pytest.approx(1 / 3, rel=1e-4)
    steps = with_changes("finetuning", steps=Steps(frozen=100_000, full=100_000))
    assert shares(steps)["FINETUNE_WORK"] == pytest.approx((0.5 + 1 + 0.5) / 3, rel=1e-4)
    assert shares(with_changes("finetuning", tasks=["depth"]))["FINETUNE_WORK"] == pytest.approx(
        1 / 3, rel=1e-4
    )


def test_second_stage_fractions_and_networks() -> None:
    assert shares(with_changes("second_stage", epochs=1))["CONTINUE_WORK"] == pytest.approx(0.5)
    short = shares(with_changes("second_stage", steps=2_512))
    assert (short["CONTINUE_WORK"], short["PRETRAIN_WORK"]) == pytest.approx((0.1, 1))
    fractions = shares(with_changes("label_fractions", percents=[10, 20]))
    assert fractions["FRACTION_WORK"] == pytest.approx(0.2)
    by_steps = shares(with_changes("finetuning", steps=Steps(full=20_000)))  # of whatever labels
    assert by_steps["FRACTION_WORK"] == by_steps["SEGMENTATION_WORK"] == pytest.approx(0.1)
    networks = shares(with_changes("networks", batch_images=8, steps=12_500))
    assert (networks["NETWORK_STEP"], networks["NETWORK_WORK"]) == pytest.approx((0.5, 0.1))


def test_the_most_demanding_row_counts() -> None:
    params = load_params(REPOSITORY / "presets/paper_001.yaml")
    small = params.model_copy(update={"model": params.model.model_copy(update={"width": 0.5})})
    assert shares(small)["PRETRAIN_STEP"] == pytest.approx(0.25)
    rows = ["none_r18", "view_r18"]
    only_small = params.model_copy(update={"first_stage": rows, "segmentation_rows": rows})
    assert shares(only_small)["PRETRAIN_STEP"] == pytest.approx(0.44)
    # MoCo's batch decides, where it is larger than its own and that of the pairs.
    large = params.model_dump()
    large["variants"]["moco"]["moco"] |= {"batch_images": 512, "epochs": 300}
    large = Params.model_validate(large)
    assert shares(large)["PRETRAIN_STEP"] == pytest.approx(2)
    assert shares(large)["PRETRAIN_WORK"] == pytest.approx(3)
    without = large.model_copy(update={"first_stage": ["view"]})
    assert shares(without)["PRETRAIN_WORK"] == pytest.approx(1)


def test_every_training_has_its_resources_in_the_profile() -> None:
    """Each rule of rules/train.smk asks for a GPU, and only for variables that exist."""
    profile = yaml.safe_load((REPOSITORY / "slurm/profile.yaml").read_text())
    rules = re.findall(r"^rule (\w+):", (REPOSITORY / "rules/train.smk").read_text(), re.MULTILINE)
    known = demand(load_params(REPOSITORY / "presets/embedded.yaml"))
    assert len(rules) == 6
    for rule in rules:
        resources = profile["set-resources"][rule]
        assert resources["gres"] == "gpu:1"
        assert profile["set-threads"][rule] > 1
        used = re.findall(r"\$(\w+)", f"{resources['mem_mb']} {resources['runtime']}")
        assert len(used) == 2
        assert set(used) <= known.keys()


def test_the_embedded_default_is_small() -> None:
    assert max(shares(load_params(REPOSITORY / "presets/embedded.yaml")).values()) < 0.01
