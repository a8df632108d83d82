"""The stage `pretrain`: what it writes, resumes and refuses."""

import json

import pytest
import torch
from safetensors.torch import load_file

from pipeline import layout
from pipeline.__main__ import main
from pipeline.models.loading import load_pretrained
from pipeline.stages import pretrain as stage
from tests.room import small_params, write_params

OPTIONS = ["--seed", "0", "--device", "cpu", "--threads", "1"]
ARGUMENTS = ["pretrain", "--variant", "view", *OPTIONS]
FOLDER = layout.pretrained("boxes", "view", 0)


def test_writes_weights_and_metadata(enter, capsys):
    enter(small_params())
    assert main(["pretrain", "--variant", "geo", *OPTIONS]) == 0
    folder = layout.pretrained("boxes", "geo", 0)
    state = load_file(folder / "model.safetensors")
    assert {name.partition(".")[0] for name in state} == {"unet", "head_view", "sparse"}
    metadata = json.loads((folder / "metadata.json").read_text())
    assert (metadata["variant"], metadata["seed"], metadata["steps"]) == ("geo", 0, 6)
    assert metadata["params"]["variants.geo"]["losses"] == ["geo"]
    assert metadata["n_pairs"] == 10
    assert len(metadata["history"]) == 6
    unet = load_pretrained(folder)
    for name, tensor in unet.state_dict().items():
        assert torch.equal(tensor, state[f"unet.{name}"])
    assert not layout.checkpoint_dir("pretrain", "boxes", "geo", 0).exists()
    out = capsys.readouterr().out
    assert "step 6/6" in out
    assert "pairs/s" in out


def test_the_same_again_gives_the_same_files(enter):
    enter(small_params())
    stored = []
    for _ in range(2):
        assert main(ARGUMENTS) == 0
        stored.append([file.read_bytes() for file in sorted(FOLDER.iterdir())])
    assert stored[0] == stored[1]


def test_params_edited_during_the_run_keep_the_checkpoint(enter, monkeypatch, capsys):
    enter(small_params())
    original = stage.pretrain

    def edited(*args):
        result = original(*args)
        write_params(small_params(pretraining={"steps": 7}))
        return result

    monkeypatch.setattr(stage, "pretrain", edited)
    assert main(ARGUMENTS) == 1
    error = capsys.readouterr().err
    assert "params.yaml was edited during the run (changed: pretraining.steps)" in error
    assert not FOLDER.exists()
    # The edit undone, the finished checkpoint is stored without training.
    monkeypatch.setattr(stage, "pretrain", original)
    write_params(small_params())
    monkeypatch.setattr("pipeline.training.pretrain.batch_loss", None)
    assert main(ARGUMENTS) == 0
    assert FOLDER.is_dir()


def test_edits_of_other_sections_do_not_matter(enter, monkeypatch):
    enter(small_params())
    original = stage.pretrain

    def edited(*args):
        write_params(small_params(finetuning={"epochs": 99}))
        return original(*args)

    monkeypatch.setattr(stage, "pretrain", edited)
    assert main(ARGUMENTS) == 0


def test_checkpoint_of_other_params_is_not_resumed(enter, monkeypatch, tmp_path, capsys):
    enter(small_params())
    monkeypatch.setattr(stage.training_run, "check_unchanged", lambda *_: exec("raise KeyError"))
    with pytest.raises(KeyError):
        main(ARGUMENTS)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert len(list(layout.checkpoint_dir("pretrain", "boxes", "view", 0).glob("*/step-*"))) == 2
    write_params(small_params(pretraining={"learning_rate": 0.05}))
    assert main(ARGUMENTS) == 0
    assert "resumed" not in capsys.readouterr().out


def test_only_training_scenes_if_asked_for(enter):
    params = small_params(dataset={"pretrain_split": "train"})
    enter(params)
    assert main(ARGUMENTS) == 0
    metadata = json.loads((FOLDER / "metadata.json").read_text())
    assert (metadata["n_scenes"], metadata["n_pairs"]) == (1, 5)


def test_errors_name_the_cause(enter, capsys):
    enter(small_params())
    assert main(["pretrain", "--variant", "wrong", *OPTIONS]) == 1
    assert "no variant 'wrong'; known: depth, geo, geo_lin, none, view" in capsys.readouterr().err
    layout.artifact(layout.artifacts_dir("boxes"), "room_b", "overlaps").unlink()
    assert main(ARGUMENTS) == 1
    assert "overlaps.parquet: missing" in capsys.readouterr().err
