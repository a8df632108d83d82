"""The rerun table: commands that really ran after a change, whichever tool is asked first.

Every test starts from a workspace that is complete for its params and leaves one behind, so the
order does not matter.
"""

from collections import Counter

from tests.workflow.conftest import DVC, SNAKEMAKE, Workspace

N_SCENES, N_ROWS = 3, 2


def test_first_run_makes_everything_once(finished: Workspace) -> None:
    assert finished.first_run == Counter(
        {
            "make-room": N_SCENES + 1,  # and the split lists
            "extract-frames": N_SCENES,
            "oversegment": N_SCENES,
            "find-overlaps": N_SCENES,
            "write-manifest": 7,
            "pretrain": N_ROWS,
            "finetune": N_ROWS,
            "make-tables": 1,
        }
    )


def test_nothing_to_do(finished: Workspace) -> None:
    assert finished.count(*SNAKEMAKE) == Counter()
    assert finished.count(*DVC) == Counter()
    assert "Nothing to be done" in finished.call("snakemake", "-n", "all_tables").stdout
    assert "up to date" in finished.call("dvc", "status").stdout


def test_finetuning_param_from_dvc(finished: Workspace) -> None:
    finished.edit("finetuning.learning_rate", 0.02)
    assert finished.count(*DVC) == Counter({"finetune": N_ROWS, "make-tables": 1})
    assert finished.count(*SNAKEMAKE) == Counter()


def test_learning_rate_of_one_variant_from_snakemake(finished: Workspace) -> None:
    finished.edit("variants.view.learning_rate", 0.05)
    assert finished.count(*SNAKEMAKE) == Counter({"pretrain": 1, "finetune": 1, "make-tables": 1})
    assert finished.count(*DVC) == Counter()


def test_oversegmentation_param_from_dvc(finished: Workspace) -> None:
    finished.edit("geometry.oversegmentation.min_vertices", 25)
    assert finished.count(*DVC) == Counter({"oversegment": N_SCENES, "write-manifest": 2})
    assert finished.count(*SNAKEMAKE) == Counter()


def test_overlap_param_from_snakemake(finished: Workspace) -> None:
    finished.edit("geometry.overlaps.radius_m", 0.06)
    executed = finished.count(*SNAKEMAKE)
    assert executed["find-overlaps"] == N_SCENES
    assert executed["write-manifest"] == 1
    assert executed["pretrain"] == N_ROWS
    assert not executed.keys() & {"make-room", "extract-frames", "oversegment"}
    assert finished.count(*DVC) == Counter()


def test_deleted_models_are_noticed_and_restored(finished: Workspace) -> None:
    model = next((finished.root / "models/smoke/pretrained").glob("view-*"))
    for file in model.iterdir():
        file.unlink()
    model.rmdir()
    # DVC's cache still has the weights: nothing is trained again.
    assert finished.count(*SNAKEMAKE) == Counter()
    assert (model / "model.safetensors").exists()


def test_another_dataset_and_back_retrains_nothing(finished: Workspace) -> None:
    before = finished.params()
    finished.edit("dataset.name", "elsewhere")
    assert finished.count("snakemake", "--cores", "2", "-n", "all_tables") == Counter()
    finished.edit("dataset.name", before["dataset"]["name"])
    assert finished.count(*SNAKEMAKE) == Counter()
    assert finished.count(*DVC) == Counter()


def test_edited_params_stop_a_waiting_stage(finished: Workspace) -> None:
    started_with = finished.root / "started_with.yaml"
    started_with.write_bytes((finished.root / "params.yaml").read_bytes())
    finished.environment["PIPELINE_PARAMS"] = str(started_with)
    learning_rate = finished.params()["finetuning"]["learning_rate"]
    try:
        finished.edit("finetuning.learning_rate", 0.5)
        result = finished.call("python", "-m", "pipeline", "run-stage", "tables@smoke", check=False)
        assert result.returncode == 1
        assert "params.yaml was edited after this run started" in result.stdout
    finally:
        del finished.environment["PIPELINE_PARAMS"]
        finished.edit("finetuning.learning_rate", learning_rate)
