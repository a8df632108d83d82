"""Several processes train what one does, also after one of them died, and on several nodes."""

import os
import shutil
import socket
from contextlib import suppress

import psutil
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file

from pipeline import layout
from pipeline.__main__ import main
from pipeline.stages import launch
from pipeline.stages.common import StageError
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.distributed import ALONE, Processes
from pipeline.training.methods import make_method
from pipeline.training.pretrain import pretrain
from tests.room import frame_batches, moco_params, small_params
from tests.training.trainings import (
    OPTIONS,
    PRETRAIN,
    PRETRAINED,
    STEPS,
    assert_same_weights,
    assert_stored,
    checkpoints,
    started,
    stopped_step,
    training_params,
    trainings,
    wait_for,
)

CPU = torch.device("cpu")


@pytest.fixture
def two_nodes(tmp_path):
    """Environment of a Slurm job on two nodes, which are this machine twice."""
    commands = tmp_path / "commands"
    commands.mkdir()
    scripts = {
        "scontrol": 'case $3 in job) echo "JobId=1 ReqNodeList=(null) NodeList=n[1-2] Comment=";; '
        '*) for n in 1 2; do echo "NodeName=n$n NodeAddr=127.0.0.1 Port=1"; done;; esac',
        "srun": 'until [ "$1" = sh ]; do shift; done; "$@" & first=$!; "$@" && wait $first',
    }
    for name, script in scripts.items():
        (commands / name).write_text(f"#!/bin/bash\n{script}\n")
        (commands / name).chmod(0o755)
    for job in range(10_000):  # decides the port
        with suppress(OSError), socket.create_server(("localhost", 20_000 + job)):
            break
    return {"SLURM_JOB_ID": str(job), "PATH": f"{commands}:{os.environ['PATH']}"}


def test_each_part_belongs_to_one_process():
    for size in (1, 2, 3):
        shares = [Processes(rank, size).own(range(8, 16), 4) for rank in range(size)]
        assert sorted(number for share in shares for number in share) == list(range(8, 16))
        for share in shares:
            assert {number // 4 for number in share} == {2, 3}  # has to do in every step
    with pytest.raises(
        ValueError, match=r"3 processes cannot share a step of 2 part.*accumulation"
    ):
        Processes(0, 3).own(range(4), 2)
    assert ALONE.total([1.5, True]) == [1.5, 1.0]


def test_gradients_are_summed_and_unused_parameters_left_alone(monkeypatch):
    """Process 0 of two, whose other one has used the first and the third of four parameters."""
    parameters = [torch.nn.Parameter(torch.zeros(size)) for size in (2, 3, 1, 2)]
    parameters[0].grad, parameters[1].grad = torch.tensor([1.0, 2.0]), torch.ones(3)
    others = iter([[1.0, 0.0, 1.0, 0.0], [10.0, 20.0, 0.0, 0.0, 0.0, 5.0]])
    monkeypatch.setattr(
        dist, "all_reduce", lambda tensor: tensor.add_(torch.tensor(next(others)).to(tensor))
    )
    Processes(0, 2).sum_gradients(parameters)
    found = [None if each.grad is None else each.grad.tolist() for each in parameters]
    assert found == [[11.0, 22.0], [1.0, 1.0, 1.0], [5.0], None]


def test_one_process_per_gpu_up_to_the_parts_of_a_step(monkeypatch, capsys):
    cuda, nodes = torch.device("cuda"), []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(launch, "slurm_nodes", lambda: nodes)
    assert launch.plan_launch(None, 8, CPU).size == 1
    assert launch.plan_launch(None, 8, cuda).size == 4
    assert capsys.readouterr().out == ""
    assert launch.plan_launch(None, 2, cuda).size == 2
    assert "2 of 4 GPUs of each node are used: a step has 2 part(s)" in capsys.readouterr().out
    with pytest.raises(StageError, match=r"3 processes on 1 node.* a step of 2 part.*accumulation"):
        launch.plan_launch(3, 2, CPU)
    nodes += ["a", "b"]
    assert launch.plan_launch(None, 8, cuda).size == 8
    assert launch.plan_launch(None, 6, cuda) == launch.Launch(("a", "b"), 3)
    with pytest.raises(StageError, match=r"2 processes on 2 node.* a step of 1 part"):
        launch.plan_launch(None, 1, cuda)


def test_two_processes_train_what_one_accumulates(enter):
    """Parameters to 1e-5, with negatives from a whole part and the depth loss, in as many steps."""
    variant, contrast = "view_geo_d", {"n_matches": 64, "negatives": "batch"}
    params = small_params(
        pretraining={"accumulation": 2, "batch_pairs": 4, "contrast": contrast, "steps": 5}
    )
    enter(params)
    folder = layout.pretrained("boxes", variant, 0)
    command = ["pretrain", "--variant", variant, "--seed", "0", "--device", "cpu"]
    with started(*command, "--processes", "2") as process:
        output, _ = process.communicate(timeout=150)
    assert process.returncode == 0, output
    assert "2 processes train together" in output
    shared = load_file(folder / "model.safetensors")
    shutil.rmtree(folder)
    assert main(command) == 0
    alone = load_file(folder / "model.safetensors")
    assert_same_weights(alone, shared, exact=False)
    initial = make_method(params, variant, 0).networks.state_dict()
    moved = [float((alone[name] - tensor).abs().max()) for name, tensor in initial.items()]
    assert max(moved) > 1e-2  # so equal is not for want of training


@pytest.mark.long
def test_a_killed_process_ends_all_and_two_nodes_go_on(enter, undisturbed, two_nodes):
    enter(training_params())
    with started(*PRETRAIN, "--processes", "2") as process:
        wait_for(checkpoints)
        trainings(process)[1].kill()
        output, _ = process.communicate(timeout=150)
    assert process.returncode == 1, output
    assert "another process of this training has ended, see its own message" in output
    assert "torchrun ended with status 1" in output
    assert not PRETRAINED.exists()
    with started(*PRETRAIN, "--processes", "1", **two_nodes) as process:
        output, _ = process.communicate(timeout=150)
    assert process.returncode == 0, output
    assert output.count("resumed after step") == 1
    assert_stored(undisturbed, exact=False)


def test_sigterm_stops_all_processes_at_one_step(enter, undisturbed):
    enter(training_params())
    with started(*PRETRAIN, "--processes", "2") as process:
        wait_for(checkpoints)
        (torchrun,) = psutil.Process(process.pid).children()
        torchrun.terminate()  # would kill them by itself
        process.terminate()
        output, _ = process.communicate(timeout=150)
    assert process.returncode == os.EX_TEMPFAIL, output
    assert 0 < stopped_step(output) < STEPS
    assert checkpoints()[-1].stem == f"step-{stopped_step(output):09d}"
    assert "Traceback" not in output
    assert not PRETRAINED.exists()
    assert main(list(PRETRAIN)) == 0  # one process goes on where two stopped
    assert_stored(undisturbed, exact=False)


@pytest.mark.long
def test_two_processes_fill_one_queue(enter, artifacts, tmp_path):
    """MoCo's keys go to all processes: with the wrong ones the encoder would be another."""
    section = training_params().pretraining.model_dump()
    params = moco_params(section, queue=16, batch_images=16, steps=4)
    enter(params)
    batches = frame_batches(artifacts, params)
    alone = pretrain(params, "moco", 0, batches, CPU, Checkpoints(tmp_path / "alone"))
    arguments = ("pretrain", "--variant", "moco", *OPTIONS)
    with started(*arguments, "--processes", "2") as process:
        output, _ = process.communicate(timeout=150)
    assert process.returncode == 0, output
    stored = load_file(layout.pretrained("boxes", "moco", 0) / "model.safetensors")
    assert_same_weights(alone.model.result(), stored, exact=False)
