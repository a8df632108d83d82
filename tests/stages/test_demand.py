"""What a training asks of Slurm, as a share of the papers'."""

import pytest

from pipeline.config import Params, load_params
from pipeline.stages.demand import demand
from tests.conftest import REPOSITORY


def shares(params: Params) -> dict[str, float]:
    return {name: float(value) for name, value in demand(params).items()}


def with_changes(section: str, **changes: object) -> Params:
    params = load_params(REPOSITORY / "presets/paper_000.yaml")
    changed = getattr(params, section).model_copy(update=changes)
    return params.model_copy(update={section: changed})


def test_the_papers_are_1() -> None:
    paper = shares(load_params(REPOSITORY / "presets/paper_000.yaml"))
    assert paper == pytest.approx(dict.fromkeys(paper, 1.0))
    # Their steps by number, as many as the epochs are.
    assert shares(with_changes("pretraining", steps=62_800))["PRETRAIN_WORK"] == pytest.approx(1)


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
    steps = with_changes("finetuning", steps=dict.fromkeys(("frozen", "full"), 100_000))
    assert shares(steps)["FINETUNE_WORK"] == pytest.approx((0.5 + 1 + 0.5) / 3, rel=1e-4)
    assert shares(with_changes("finetuning", tasks=["depth"]))["FINETUNE_WORK"] == pytest.approx(
        1 / 3, rel=1e-4
    )


def test_the_embedded_default_is_small() -> None:
    assert max(shares(load_params(REPOSITORY / "presets/embedded.yaml")).values()) < 0.01
