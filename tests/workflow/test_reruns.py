"""The rerun table: commands that really ran after a change, whichever tool is asked first.

Every test starts from a workspace that is complete for its params and leaves one behind, so the
order does not matter.
"""

from collections import Counter

import pytest

from pipeline import layout
from tests.workflow.conftest import DVC, SNAKEMAKE, Workspace

# The first test's time includes the first run, perhaps with kernels to compile.
pytestmark = pytest.mark.timeout(900)
N_SCENES, N_ROWS = 3, 2


def test_first_run_makes_everything_once(finished: Workspace) -> None:
    assert finished.first_run == Counter(
        {
            "make-room": N_SCENES + 1,  # and the split lists
            "extract-frames": N_SCENES,
            "oversegment": N_SCENES,
            "find-overlaps": N_SCENES,
            "write-manifest": 8,  # seven artifact kinds and the split
            "pretrain": N_ROWS,
            "finetune": N_ROWS,
            "predict-mean": 1,
            "make-tables": 1,
        }
    )


def test_nothing_to_do(finished: Workspace) -> None:
    assert finished.calls(*SNAKEMAKE) == Counter()
    assert finished.calls(*DVC) == Counter()
    assert "Nothing to be done" in finished.call("snakemake", "-n", "all_tables").stdout
    assert "up to date" in finished.call("dvc", "status").stdout


def test_finetuning_param_from_dvc(finished: Workspace) -> None:
    finished.edit("finetuning.learning_rate", 0.02)
    # These change no result.
    finished.edit("pretraining.checkpoint_every", 7)
    finished.edit("finetuning.keep_weights", False)
    assert finished.count(*DVC) == Counter({"finetune": N_ROWS, "make-tables": 1})
    assert finished.calls(*SNAKEMAKE) == Counter()


def test_learning_rate_of_one_variant_from_snakemake(finished: Workspace) -> None:
    finished.edit("variants.view.learning_rate", 0.05)
    assert finished.count(*SNAKEMAKE) == Counter({"pretrain": 1, "finetune": 1, "make-tables": 1})
    assert finished.count(*DVC) == Counter()


def test_oversegmentation_param_from_dvc(finished: Workspace) -> None:
    finished.edit("geometry.oversegmentation.min_vertices", 25)
    assert finished.count(*DVC) == Counter({"oversegment": N_SCENES, "write-manifest": 2})
    assert finished.calls(*SNAKEMAKE) == Counter()


@pytest.mark.long
def test_second_stage_and_its_sets(finished: Workspace) -> None:
    """From either tool: one training more; other sets train it alone again; the start is kept."""
    finished.edit("second_stage.starts", ["view"])
    finished.edit("segmentation_rows", ["view_then_set"])
    once = Counter({"pretrain": 1, "finetune": 1, "make-tables": 1})
    assert finished.calls(*SNAKEMAKE)["pretrain --start"] == 1
    assert (finished.root / layout.pretrained("smoke", "view_then_set", 0)).is_dir()
    assert finished.count(*DVC) == Counter()
    finished.edit("variants.set.sets", {"renormalise": True})
    assert finished.count(*DVC) == once
    assert finished.calls(*SNAKEMAKE) == Counter()
    finished.edit("variants.set.sets.source", 0.01)
    assert finished.count(*SNAKEMAKE) == once
    assert finished.count(*DVC) == Counter()
    finished.edit("finetuning.mlp_channels", 64)  # its one cell has no MLP
    assert finished.count(*SNAKEMAKE) == Counter({"finetune": N_ROWS, "make-tables": 1})
    finished.edit("second_stage.starts", [])
    finished.edit("segmentation_rows", [])
    assert finished.count(*SNAKEMAKE) == Counter({"make-tables": 1})


@pytest.mark.long
def test_moving_a_room_to_validation_from_snakemake(finished: Workspace) -> None:
    rooms = finished.params()["rooms"]
    finished.edit("rooms", rooms | {"n_train": 1, "n_validation": 2})
    executed = finished.count(*SNAKEMAKE)
    assert executed["finetune"] == N_ROWS
    assert not executed.keys() & {"extract-frames", "oversegment", "find-overlaps"}
    assert finished.count(*DVC) == Counter()


def test_overlap_param_from_snakemake(finished: Workspace) -> None:
    finished.edit("geometry.overlaps.radius_m", 0.06)
    executed = finished.count(*SNAKEMAKE)
    # Other pairs, other weights; the row without pretraining gets the same weights again.
    assert executed.pop("finetune", 0) <= N_ROWS - 1
    assert executed == Counter(
        {"find-overlaps": N_SCENES, "write-manifest": 1, "pretrain": N_ROWS, "make-tables": 1}
    )
    assert finished.count(*DVC) == Counter()


def test_deleted_models_are_noticed_and_restored(finished: Workspace) -> None:
    model = next((finished.root / "models/smoke/pretrained").glob("view-*"))
    for file in model.iterdir():
        file.unlink()
    model.rmdir()
    # DVC's cache still has the weights: nothing is trained again.
    assert finished.count(*SNAKEMAKE) == Counter()
    assert (model / "model.safetensors").exists()


@pytest.mark.long
def test_another_dataset_and_back_retrains_nothing(finished: Workspace) -> None:
    before = finished.params()
    finished.edit("dataset.name", "elsewhere")
    finished.edit("pretrained_on", "elsewhere")
    finished.edit_rows("none")
    elsewhere = finished.count(*SNAKEMAKE)
    assert elsewhere["pretrain"] == elsewhere["finetune"] == 1
    assert "make-room" not in elsewhere  # the raw folder is the same
    finished.edit("dataset.name", "smoke")
    finished.edit("pretrained_on", "smoke")
    finished.edit_rows(*before["rows"])
    assert finished.count(*SNAKEMAKE) == Counter()
    assert finished.count(*DVC) == Counter()
