"""The stage `pretrain`: what it writes, resumes and refuses."""

import json

import pytest
import torch
from safetensors.torch import load_file

from pipeline import layout
from pipeline.__main__ import main
from pipeline.models.loading import NotPretrainedError, load_pretrained
from pipeline.models.unet import UNet2D
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


def test_moco_keeps_the_unet(enter, capsys):
    enter(small_params())
    assert main(["pretrain", "--variant", "moco", *OPTIONS]) == 0
    folder = layout.pretrained("boxes", "moco", 0)
    state = load_file(folder / "model.safetensors")
    assert {name.partition(".")[0] for name in state} == {"unet", "head_moco"}
    metadata = json.loads((folder / "metadata.json").read_text())
    assert (metadata["n_scenes"], metadata["n_frames"], metadata["n_redrawn"]) == (2, 8, 0)
    assert metadata["losses"] == ["moco"]
    assert torch.equal(
        load_pretrained(folder).encoder.conv1.weight, state["unet.encoder.conv1.weight"]
    )
    assert "images/s" in capsys.readouterr().out


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
    frames = stage._batches(params, "moco", 0, is_second_stage=False)
    assert frames.counts() == {"n_scenes": 1, "n_frames": 4}
    assert all(name.startswith("room_a") for name in frames[0].names)


def test_colour_of_a_variant_decides_its_batches(enter):
    own = {"jittered": {"losses": ["view"], "colour": True}}
    enter(params := small_params(variants=own))
    plain, jittered = (
        stage._batches(params, row, 0, is_second_stage=False)[0] for row in ("view", "jittered")
    )
    assert plain.names == jittered.names
    assert torch.equal(plain.pixel_a, jittered.pixel_a)
    assert not torch.equal(plain.images, jittered.images)


def test_without_its_checkpoint_a_row_says_so(enter, capsys):
    enter(small_params())
    assert main(["pretrain", "--variant", "imagenet", *OPTIONS]) == 0
    folder = layout.pretrained("boxes", "imagenet", 0)
    assert [file.name for file in folder.iterdir()] == ["metadata.json"]
    metadata = json.loads((folder / "metadata.json").read_text())
    assert (metadata["variant"], metadata["skipped"]) == ("imagenet", "no checkpoint given")
    assert "pretrain@boxes-imagenet-0: no checkpoint given" in capsys.readouterr().out
    with pytest.raises(NotPretrainedError, match="no checkpoint given"):
        load_pretrained(folder)


def test_with_a_checkpoint_the_row_is_its_encoder(enter, tmp_path):
    encoder = UNet2D("resnet18", 0.125, 8).encoder
    torch.save(encoder.state_dict(), tmp_path / "own.pth")
    enter(small_params(variants={"imagenet": {"losses": [], "init_checkpoint": "own.pth"}}))
    assert main(["pretrain", "--variant", "imagenet", *OPTIONS]) == 0
    assert main(["pretrain", "--variant", "none", *OPTIONS]) == 0
    unet, scratch = (
        load_pretrained(layout.pretrained("boxes", row, 0)) for row in ("imagenet", "none")
    )
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(unet.encoder.state_dict()[name], tensor)
    for name, tensor in scratch.decoder.state_dict().items():
        assert torch.equal(unet.decoder.state_dict()[name], tensor)
    assert not torch.equal(unet.encoder.conv1.weight, scratch.encoder.conv1.weight)
    metadata = json.loads((layout.pretrained("boxes", "imagenet", 0) / "metadata.json").read_text())
    assert set(metadata["params"]) == {"model", "variants.imagenet"}


def test_a_missing_checkpoint_file_is_an_error(enter, capsys):
    enter(small_params(variants={"imagenet": {"losses": [], "init_checkpoint": "none.pth"}}))
    assert main(["pretrain", "--variant", "imagenet", *OPTIONS]) == 1
    assert "none.pth: no such checkpoint file" in capsys.readouterr().err


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_without_matches_is_named(enter, monkeypatch, capsys, workers):
    enter(small_params(pretraining={"workers": workers}))
    monkeypatch.setattr(stage.PairBatches, "_match", lambda *_: None)
    assert main(ARGUMENTS) == 1
    assert "batch 0: 200 pairs in a row have no match, the last room_" in capsys.readouterr().err
    assert not FOLDER.exists()


def test_errors_name_the_cause(enter, capsys):
    enter(small_params())
    assert main(["pretrain", "--variant", "wrong", *OPTIONS]) == 1
    assert (
        "no variant 'wrong'; known: depth, geo, geo_lin, imagenet, moco" in capsys.readouterr().err
    )
    layout.artifact(layout.artifacts_dir("boxes"), "room_b", "overlaps").unlink()
    assert main(ARGUMENTS) == 1
    assert "overlaps.parquet: missing" in capsys.readouterr().err
