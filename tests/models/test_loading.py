"""Weights from files: what fits is loaded, what does not is named."""

import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from pipeline.models.loading import (
    CheckpointError,
    load_pretrained,
    load_torchvision_encoder,
    read_state,
)
from pipeline.models.unet import UNet2D


def small(seed: int) -> UNet2D:
    torch.manual_seed(seed)
    return UNet2D("resnet18", width=0.125, feature_channels=6)


def torchvision_state(unet: UNet2D) -> dict[str, torch.Tensor]:
    """A checkpoint as torchvision would save it: with a classifier."""
    return {**unet.encoder.state_dict(), "fc.weight": torch.ones(10, 64), "fc.bias": torch.ones(10)}


def assert_equal(state, expected):
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_torchvision_checkpoint(tmp_path, suffix):
    source, unet = small(0), small(1)
    decoder = {name: value.clone() for name, value in unet.decoder.state_dict().items()}
    path = tmp_path / f"resnet{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(torchvision_state(source), path)
    load_torchvision_encoder(path, unet)
    assert_equal(unet.encoder.state_dict(), source.encoder.state_dict())
    assert_equal(unet.decoder.state_dict(), decoder)


def test_checkpoints_without_batch_counters_load(tmp_path):
    """As torchvision's own resnet50-19c8e357.pth of 2017, in the format of its time."""
    source, unet = small(0), small(1)
    state = {k: v for k, v in torchvision_state(source).items() if "num_batches" not in k}
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    load_torchvision_encoder(tmp_path / "old.pth", unet)
    assert_equal(unet.encoder.state_dict(), source.encoder.state_dict())


def test_tensors_that_do_not_fit_are_named(tmp_path):
    unet = small(1)
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    state = torchvision_state(small(0))
    del state["layer1.0.conv1.weight"]
    state["module.extra"] = torch.ones(1)
    state["conv1.weight"] = torch.ones(64, 3, 7, 7)
    torch.save(state, tmp_path / "wrong.pth")
    with pytest.raises(CheckpointError) as error:
        load_torchvision_encoder(tmp_path / "wrong.pth", unet)
    text = str(error.value)
    assert "wrong.pth" in text
    assert "1 missing: layer1.0.conv1.weight" in text
    assert "1 unexpected: module.extra" in text
    assert "1 of another shape: conv1.weight (64, 3, 7, 7), needs (8, 3, 7, 7)" in text
    assert_equal(unet.state_dict(), before)


def test_long_lists_are_cut(tmp_path):
    torch.save({}, tmp_path / "empty.pth")
    with pytest.raises(CheckpointError, match=r"100 missing: .*layer1.* \.\.\."):
        load_torchvision_encoder(tmp_path / "empty.pth", small(0))


class _Malicious:
    def __reduce__(self):
        return (print, ("code ran",))


def test_unusable_files_are_named(tmp_path, capsys):
    with pytest.raises(CheckpointError, match=r"none\.pth: no such checkpoint file"):
        read_state(tmp_path / "none.pth")
    for name in ("broken.pth", "broken.safetensors"):
        (tmp_path / name).write_bytes(b"not a checkpoint")
        with pytest.raises(CheckpointError, match=f"{name}: not a readable checkpoint"):
            read_state(tmp_path / name)
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"a": _Malicious()}, protocol=2))
    with pytest.raises(CheckpointError, match=r"evil\.pth"):
        read_state(tmp_path / "evil.pth")
    assert "code ran" not in capsys.readouterr().out
    torch.save({"state_dict": {"a": torch.ones(1)}, "epoch": 3}, tmp_path / "nested.pth")
    with pytest.raises(CheckpointError, match=r"flat dict of tensors, holds .*state_dict.*epoch"):
        read_state(tmp_path / "nested.pth")


@pytest.fixture
def pretrained(tmp_path):
    """A pretrained folder and the UNet in it; another network's weights are in it too."""
    unet = small(0)
    state = {f"unet.{name}": value for name, value in unet.state_dict().items()}
    save_file({**state, "head_view.weight": torch.ones(2)}, tmp_path / "model.safetensors")
    content = {"variant": "view", "model": unet.settings}
    (tmp_path / "metadata.json").write_text(json.dumps(content))
    return tmp_path, unet


def test_pretrained_folder(pretrained):
    folder, unet = pretrained
    loaded = load_pretrained(folder)
    assert_equal(loaded.state_dict(), unet.state_dict())
    assert loaded.feature_channels == 6


def test_unusable_pretrained_folders_are_named(pretrained):
    folder, _ = pretrained
    with pytest.raises(CheckpointError, match=r"nowhere.*metadata\.json: No such file"):
        load_pretrained(folder / "nowhere")
    (folder / "metadata.json").write_text(json.dumps({"model": {"encoder": "resnet18"}}))
    with pytest.raises(CheckpointError, match=r"model\.safetensors: does not fit this UNet2D"):
        load_pretrained(folder)
    for content in ({}, {"model": {"encodr": "resnet18"}}, {"model": {"encoder": "resnet19"}}):
        (folder / "metadata.json").write_text(json.dumps(content))
        with pytest.raises(CheckpointError, match=r"metadata\.json: `model` does not hold"):
            load_pretrained(folder)
