"""Real processes of the training stages in the workspace of `enter`, to be signalled and killed."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from pipeline import layout
from pipeline.training.pretrain import Pretrained
from tests.room import small_params

REPOSITORY = Path(__file__).parents[2]
OPTIONS = ("--seed", "0", "--device", "cpu")
VARIANT, STEPS = "view_geo_lin", 12
PRETRAIN = ("pretrain", "--variant", VARIANT, *OPTIONS)
PRETRAINED = layout.pretrained("boxes", VARIANT, 0)


def training_params(**changes):
    """Enough steps to be caught in the middle, each of two parts and with a checkpoint."""
    section = {"steps": STEPS, "accumulation": 2, "checkpoint_every": 1, **changes}
    return small_params(pretraining=section)


@contextmanager
def started_command(*command: str, **environment: str) -> Iterator[subprocess.Popen]:
    """A process that leads a group; in the end nothing is left of it."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY), "PATH": path}
    process = subprocess.Popen(
        command,
        env=env | environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for each in psutil.Process().children(recursive=True):
            each.kill()
        process.wait()


def started(*arguments: str, **environment: str) -> AbstractContextManager[subprocess.Popen]:
    """A process of `python -m pipeline`."""
    return started_command(sys.executable, "-m", "pipeline", *arguments, **environment)


def wait_for(condition: Callable[[], object], seconds: float = 150) -> object:
    """What `condition` returns as soon as that is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)
    return found


def checkpoints() -> list[Path]:
    """Files of a pretraining's resumable states, the oldest first."""
    folder = layout.checkpoint_dir("pretrain", "boxes", VARIANT, 0)
    return sorted(folder.rglob("step-*.safetensors"), key=lambda path: path.name)


def trainings(process: subprocess.Popen) -> list[psutil.Process]:
    """Processes that torchrun has started for a training."""
    below = psutil.Process(process.pid).children(recursive=True)
    return [each for each in below if "LOCAL_RANK" in each.environ()]


def stopped_step(output: str) -> int:
    """The step that the line about SIGTERM names."""
    lines = [line for line in output.splitlines() if "because of SIGTERM" in line]
    assert len(lines) == 1, output
    return int(re.search(r"stopped after step (\d+) of", lines[0])[1])


def assert_same_weights(first: Mapping, second: Mapping, exact: bool = True):
    """Equal, or to 1e-5, BatchNorm's statistics too."""
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        if exact:
            assert torch.equal(tensor, second[name]), name
        else:
            torch.testing.assert_close(tensor, second[name], rtol=1e-5, atol=1e-5, msg=name)


def assert_stored(undisturbed: Pretrained, exact: bool = True):
    """The stored pretraining is that of a run to which nothing happened."""
    stored = load_file(PRETRAINED / "model.safetensors")
    assert_same_weights(undisturbed.model.state_dict(), stored, exact)
    metadata = json.loads((PRETRAINED / "metadata.json").read_text())
    assert metadata["steps"] == undisturbed.steps == STEPS
    assert metadata["n_redrawn"] == undisturbed.n_redrawn
    for stored, expected in zip(metadata["history"], undisturbed.history, strict=True):
        assert stored == pytest.approx(expected, abs=0 if exact else 1e-4)
    assert not checkpoints()
