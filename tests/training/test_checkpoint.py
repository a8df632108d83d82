"""Checkpoints: exact, bounded in number, and safe against damage."""

import pytest
import torch

from pipeline.models.loading import CheckpointError
from pipeline.training.checkpoint import (
    Checkpoints,
    atomic_folder,
    restore_training_state,
    training_state,
)
from pipeline.training.optimisation import make_sgd
from tests.room import small_params


def make(seed):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    return model, make_sgd(model.parameters(), small_params().pretraining)


def step(model, optimizer):
    optimizer.zero_grad()
    images = torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(7))
    model(images).square().sum().backward()
    optimizer.step()


def test_state_round_trip_continues_exactly(tmp_path):
    model, optimizer = make(0)
    step(model, optimizer)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, training_state(model, optimizer), {"note": 1.5})
    step(model, optimizer)
    other, other_optimizer = make(1)
    done, state, content = checkpoints.load_latest()
    restore_training_state(state, other, other_optimizer)
    step(other, other_optimizer)
    assert (done, content) == (1, {"note": 1.5})
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_a_state_of_other_networks_is_named():
    model, optimizer = make(0)
    other = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3))
    with pytest.raises(CheckpointError, match=r"(?s)does not fit today's networks.*0\.weight"):
        restore_training_state(training_state(model, optimizer), other, optimizer)


def test_truncated_checkpoint_is_named_and_the_one_before_is_used(tmp_path, capsys):
    checkpoints = Checkpoints(tmp_path)
    for number in (10, 20, 30):
        checkpoints.save(number, {"x": torch.full((50,), number)})
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == [
        "step-000000020.safetensors",
        "step-000000030.safetensors",
    ]
    files[1].write_bytes(files[1].read_bytes()[:-20])
    done, tensors, _ = checkpoints.load_latest()
    assert done == 20
    assert (tensors["x"] == 20).all()
    assert "step-000000030.safetensors: damaged or truncated" in capsys.readouterr().out
    files[0].write_bytes(b"")
    assert checkpoints.load_latest() is None
    assert Checkpoints(tmp_path / "none").load_latest() is None


def test_atomic_folder_replaces_only_on_success(tmp_path):
    target = tmp_path / "a" / "result"
    with atomic_folder(target) as folder:
        (folder / "one").write_text("1")
    with pytest.raises(FileNotFoundError), atomic_folder(target) as folder:
        (folder / "missing" / "two").write_text("2")
    assert [file.name for file in target.iterdir()] == ["one"]
    with atomic_folder(target) as folder:
        (folder / "two").write_text("2")
    assert [file.name for file in target.iterdir()] == ["two"]
    assert [file.name for file in target.parent.iterdir()] == ["result"]
