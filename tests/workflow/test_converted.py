"""A converted checkpoint becomes a row: nothing is pretrained, and both tools are content."""

from collections import Counter

import pytest
import torch

from pipeline import layout
from tests.models.foreign import filled, pri3d_file, pri3d_shapes
from tests.workflow.conftest import DVC, SNAKEMAKE, Workspace

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


def test_a_released_checkpoint_is_finetuned(finished: Workspace, tmp_path) -> None:
    clone = finished.copy(tmp_path / "clone")
    file = clone.root / "data/pri3d.pth"
    torch.save(pri3d_file(filled(pri3d_shapes("resnet18", base=8))), file)
    target = str(layout.pretrained("pri3d", "view", 0))
    clone.call("python", "-m", "pipeline", "convert-checkpoint", str(file), target)
    for key, value in (("pretrained_on", "pri3d"), ("first_stage", []), ("rows", ["view"])):
        clone.edit(key, value)
    assert clone.count(*SNAKEMAKE) == Counter({"finetune": 1, "make-tables": 1})
    assert (clone.root / layout.finetune_metrics("smoke", "view", 0)).exists()
    assert clone.calls(*SNAKEMAKE) == Counter()
    assert clone.calls(*DVC) == Counter()

    # Another checkpoint in its place is noticed.
    (clone.root / target / "model.safetensors").unlink()
    (clone.root / target / "metadata.json").unlink()
    (clone.root / target).rmdir()
    torch.save(filled(pri3d_shapes("resnet18", base=8), seed=1), file)
    clone.call("python", "-m", "pipeline", "convert-checkpoint", str(file), target)
    assert clone.count(*SNAKEMAKE) == Counter({"finetune": 1, "make-tables": 1})
