"""A converted checkpoint becomes a row, or the start of a second stage; nothing is pretrained."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch

from pipeline import layout
from tests.models.foreign import filled, pri3d_file, pri3d_shapes
from tests.workflow.conftest import DVC, SNAKEMAKE, Workspace

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


def convert(clone: Workspace, target: Path, seed: int = 0) -> None:
    """Put a checkpoint of Pri3D where a pretraining would."""
    shutil.rmtree(clone.root / target, ignore_errors=True)
    file = clone.root / "data/pri3d.pth"
    torch.save(pri3d_file(filled(pri3d_shapes("resnet18", base=8, outputs=6), seed)), file)
    clone.call("python", "-m", "pipeline", "convert-checkpoint", str(file), str(target))


def test_a_released_checkpoint_is_finetuned(finished: Workspace, tmp_path: Path) -> None:
    clone = finished.copy(tmp_path / "clone")
    target = layout.pretrained("pri3d", "view", 0)
    convert(clone, target)
    for key, value in (("pretrained_on", "pri3d"), ("first_stage", []), ("rows", ["view"])):
        clone.edit(key, value)
    assert clone.count(*SNAKEMAKE) == Counter({"finetune": 1, "make-tables": 1})
    assert (clone.root / layout.finetune_metrics("smoke", "view", 0)).exists()
    assert clone.calls(*SNAKEMAKE) == Counter()
    assert clone.calls(*DVC) == Counter()

    convert(clone, target, seed=1)  # another one in its place is noticed
    assert clone.count(*SNAKEMAKE) == Counter({"finetune": 1, "make-tables": 1})


def test_a_second_stage_goes_on_from_a_released_checkpoint(
    finished: Workspace, tmp_path: Path
) -> None:
    """As paper 001 does; `dvc commit` records the converted folder as the first stage's result."""
    clone = finished.copy(tmp_path / "clone")
    clone.edit("variants.set", {"losses": ["set"]})
    for key, value in (("starts", ["view"]), ("variants", ["set"]), ("steps", 2)):
        clone.edit(f"second_stage.{key}", value)
    clone.edit("first_stage", ["view"])
    clone.edit("rows", ["view_then_set"])
    target = layout.pretrained("smoke", "view", 0)
    convert(clone, target)
    clone.call("dvc", "commit", "--force", "pretrain@smoke-view-0")
    # The second stage alone is trained.
    expected = Counter({"pretrain": 1, "finetune": 1, "make-tables": 1})
    assert clone.count(*SNAKEMAKE) == expected
    assert clone.calls(*SNAKEMAKE) == Counter()
    folders = layout.pretrained("smoke", "view_then_set", 0), target
    second, first = (
        json.loads((clone.root / each / "metadata.json").read_text()) for each in folders
    )
    assert first["converted"]["weights_of"] == "pri3d"
    assert second["model"] == first["model"]
