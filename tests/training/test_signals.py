"""SIGTERM at any time, and a killed data loader process: what was trained goes on exactly."""

import json
import multiprocessing
import os
import re
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pipeline import layout
from pipeline.__main__ import main
from pipeline.atomic import write_json, write_text
from pipeline.data.cache import ByteCache
from pipeline.data.labelled import load_labelled
from pipeline.models.unet import UNet2D
from pipeline.stages import pretrain as stage
from pipeline.stages.write_fingerprints import fingerprint
from pipeline.training import fixed_outputs
from pipeline.training import pretrain as pretraining
from pipeline.training.checkpoint import load_tensors
from pipeline.training.finetune import Finetuner, finetune
from pipeline.training.interruption import Interrupted, StopRequest, stop_request
from pipeline.training.recipes import unet_recipe
from pipeline.training.tasks import depth_task
from tests.room import small_params
from tests.training.trainings import (
    OPTIONS,
    PRETRAIN,
    PRETRAINED,
    REPOSITORY,
    STEPS,
    VARIANT,
    assert_same_weights,
    assert_stored,
    checkpoints,
    started,
    started_command,
    stopped_step,
    training_params,
    wait_for,
)

CPU = torch.device("cpu")
FINETUNE = ("finetune", "--variant", "none", *OPTIONS)
FINETUNED = layout.finetuned("boxes", "none", 0)


def test_first_sigterm_is_noted_and_the_second_ends_the_process():
    ended = []
    before = signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    try:
        with stop_request() as stop:
            assert not stop.is_made
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.is_made
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        with stop_request(repeatable=True) as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.is_made
        assert not ended
        os.kill(os.getpid(), signal.SIGTERM)
        assert ended
    finally:
        signal.signal(signal.SIGTERM, before)


def test_pretraining_goes_on_after_a_sigterm_to_all_its_processes(enter, undisturbed):
    enter(training_params(workers=1))
    with started(*PRETRAIN) as process:
        wait_for(checkpoints)
        os.killpg(process.pid, signal.SIGTERM)
        output, _ = process.communicate(timeout=150)
    assert process.returncode == os.EX_TEMPFAIL, output
    assert 0 < stopped_step(output) < STEPS
    assert checkpoints()[-1].stem == f"step-{stopped_step(output):09d}"
    assert "Traceback" not in output
    assert "Error" not in output
    assert not PRETRAINED.exists()
    assert main(list(PRETRAIN)) == 0
    assert_stored(undisturbed)


def test_sigterm_to_a_job_leaves_time_for_the_checkpoint(enter):
    """Snakemake's shell, `run-stage`, DVC's shell and the stage: whoever ends, ends them all."""
    enter(training_params().model_copy(update={"first_stage": [VARIANT], "rows": [VARIANT]}))
    write_text(".dvc/config", "[core]\n    no_scm = true\n    analytics = false\n")
    write_json(layout.fingerprint("pretrain"), fingerprint("pretrain"))
    rule = (REPOSITORY / "rules" / "train.smk").read_text()
    command = re.search(r'"(.* run-stage pretrain@.*)"', rule)[1]
    for placeholder, value in {
        "{threads}": "1",
        "{wildcards.item:q}": f"boxes-{VARIANT}-0",
        "{log:q}": "log.txt",
    }.items():
        command = command.replace(placeholder, value)
    with started_command("bash", "-c", f"set -euo pipefail; {command}") as process:
        wait_for(checkpoints)
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=150)
    log = Path("log.txt").read_text()
    assert process.returncode == 1, log
    assert 0 < stopped_step(log) < STEPS
    assert checkpoints()[-1].stem == f"step-{stopped_step(log):09d}"
    assert f"error: pretrain@boxes-{VARIANT}-0" in log


def test_a_killed_data_loader_process_is_named_and_the_training_goes_on(
    enter, undisturbed, monkeypatch, capsys
):
    enter(training_params(workers=1))
    original, steps = pretraining.batch_loss, []

    def loss(*args):
        steps.append(1)
        if len(steps) == 9:
            (worker,) = multiprocessing.active_children()
            worker.kill()
            time.sleep(60)  # ended by the error, which comes as soon as the process is gone
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "batch_loss", loss)
        assert main(list(PRETRAIN)) == 1
    error = capsys.readouterr().err
    assert "a process that makes batches (workers: 1) was killed" in error
    assert checkpoints()
    assert main(list(PRETRAIN)) == 0
    assert "resumed after step" in capsys.readouterr().out
    assert_stored(undisturbed)


def test_kill_9_costs_no_more_than_the_steps_since_the_checkpoint(enter, undisturbed):
    """Two processes make batches ahead; neither they nor what they had made are missed."""
    enter(training_params(workers=2))
    with started(*PRETRAIN) as process:
        wait_for(lambda: len(checkpoints()) > 1)
        process.kill()
        process.communicate(timeout=150)
    assert process.returncode == -signal.SIGKILL
    assert not PRETRAINED.exists()
    assert 0 < int(checkpoints()[-1].stem.removeprefix("step-")) < STEPS
    assert main(list(PRETRAIN)) == 0
    assert_stored(undisturbed)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_compiled_training_goes_on_exactly_and_follows_the_eager_one(
    enter, undisturbed, tmp_path
):
    """In processes of their own, since torch.compile cannot read the tests' type checks."""
    enter(training_params(compute={"compile": True}))
    cache = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "compiled")}
    stored = []
    for kill in (False, True):
        if kill:
            shutil.move(PRETRAINED, "first")
            with started(*PRETRAIN, **cache) as process:
                wait_for(lambda: len(checkpoints()) > 1, seconds=280)
                process.kill()
                process.communicate(timeout=150)
            assert not PRETRAINED.exists()
        with started(*PRETRAIN, **cache) as process:
            output, _ = process.communicate(timeout=280)
        assert process.returncode == 0, output
        assert ("resumed after step" in output) == kill
        stored.append(load_file(PRETRAINED / "model.safetensors"))
    assert_same_weights(*stored)
    eager = undisturbed.model.state_dict()
    assert stored[0].keys() == eager.keys()
    history = json.loads((PRETRAINED / "metadata.json").read_text())["history"]
    for compiled, plain in zip(history, undisturbed.history, strict=True):
        assert compiled["loss"] == pytest.approx(plain["loss"], rel=1e-2)


def test_sigterm_while_the_result_is_stored_changes_nothing(enter, monkeypatch):
    enter(training_params(steps=2))
    monkeypatch.setattr(
        stage.training_run, "check_unchanged", lambda *_: os.kill(os.getpid(), signal.SIGTERM)
    )
    assert main(list(PRETRAIN)) == 0
    assert PRETRAINED.exists()
    assert not checkpoints()


def test_finetuning_goes_on_after_a_sigterm_to_all_its_processes(enter):
    cells = {"tasks": ["depth"], "protocols": ["half_frozen", "full"]}
    steps = dict.fromkeys(cells["protocols"], 40)
    params = small_params(finetuning={**cells, "steps": steps, "workers": 1})
    enter(params)
    assert main(["pretrain", "--variant", "none", *OPTIONS]) == 0
    assert main(list(FINETUNE)) == 0
    first, metrics = load_tensors(FINETUNED / "full-depth.safetensors")
    shutil.rmtree(FINETUNED)
    scratch = layout.checkpoint_dir("finetune", "boxes", "none", 0)
    with started(*FINETUNE) as process:
        wait_for(lambda: list(scratch.rglob("half_frozen-depth.safetensors")))
        os.killpg(process.pid, signal.SIGTERM)
        output, _ = process.communicate(timeout=150)
    assert process.returncode == os.EX_TEMPFAIL, output
    assert "full/depth stopped after step" in output
    assert stopped_step(output) < 40
    assert "Traceback" not in output
    assert not FINETUNED.exists()
    assert main(list(FINETUNE)) == 0
    assert not scratch.exists()
    second, metrics_again = load_tensors(FINETUNED / "full-depth.safetensors")
    assert_same_weights(first, second)
    assert metrics == metrics_again


def test_a_killed_process_of_a_finetuning_is_named(enter, monkeypatch, capsys):
    enter(small_params(finetuning={"tasks": ["depth"], "protocols": ["full"], "workers": 1}))
    assert main(["pretrain", "--variant", "none", *OPTIONS]) == 0

    def kill(*_):
        (worker,) = multiprocessing.active_children()
        worker.kill()
        time.sleep(60)  # ended by the error, which comes as soon as the process is gone

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.training.finetune.seed_torch", kill)
        assert main(list(FINETUNE)) == 1
    assert "a process that makes batches (workers: 1) was killed" in capsys.readouterr().err
    assert main(list(FINETUNE)) == 0


@pytest.mark.parametrize("when", ["loss 2", "loss 5", "process 1", "process 3"])
def test_a_cell_goes_on_from_wherever_it_stopped(artifacts, tmp_path, monkeypatch, when):
    """Six steps, with a validation of two batches after the third and after the last."""
    monkeypatch.setattr(fixed_outputs, "EVALUATION_BATCH", 2)
    section = small_params().finetuning
    rows = {"training": [0, 1, 2, 3], "validation": [0, 1, 2, 3]}
    task, stop, calls = depth_task(section), StopRequest(), []

    def counted(name):
        def function(*args):
            calls.append(name)
            stop.is_made |= f"{name} {calls.count(name)}" == when
            return getattr(task, name)(*args)

        return function

    def run(task, folder, stop, workers=1):
        splits = load_labelled(artifacts, ["room_a", "room_b"], ["room_b"], {}, ByteCache())
        torch.manual_seed(0)
        recipe = unet_recipe(UNet2D("resnet18", 0.125, 8), section)
        finetuner = Finetuner(recipe, *splits, 0, CPU, workers=workers)
        return finetune(finetuner, ["full"], [task], lambda _: rows, folder, stop)["full/depth"]

    whole = run(task, tmp_path / "whole", StopRequest(), workers=0)
    stopping = replace(task, loss=counted("loss"), process=counted("process"))
    with pytest.raises(Interrupted, match="full/depth stopped after step"):
        run(stopping, tmp_path / "stopped", stop)
    resumed = run(task, tmp_path / "stopped", StopRequest())
    assert_same_weights(whole.weights, resumed.weights)
    assert whole.metrics == resumed.metrics
    assert torch.equal(whole.picture, resumed.picture)
