"""Processes that are killed, and runs that meet: what survives, and that the next run completes.

Each ends with the result of a run that nobody disturbed, byte for byte: one CPU thread is
deterministic. A test kills only processes that it has started.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import yaml

from tests.workflow.conftest import Workspace

pytestmark = pytest.mark.long

STAGE = "pretrain@smoke-view-0"
STAMP = f".stamps/{STAGE}.json"
MODEL = "models/smoke/pretrained/view-s0"
CHECKPOINTS = "checkpoints/smoke/pretrain/view-s0"
RUN_STAGE = ("python", "-m", "pipeline", "run-stage", STAGE)
DVC = ("dvc", "repro", "--single-item", STAGE)
SNAKEMAKE = ("snakemake", "--cores", "2", STAMP)
N_STEPS = 12
TOLD = "another run is at work there; wait until it ends (process "
WAITS = "another run is at work there; waiting until it ends (process "
#: Runs a command as on another node of the cluster: the same files, other processes.
OTHER_NODE = ("unshare", "--pid", "--fork", "--mount-proc")


class Run:
    """A command under way in a clone, with all that it starts."""

    def __init__(self, clone: Workspace, command: tuple[str, ...]) -> None:
        self.clone = clone
        self.output_file = clone.root / f"output-{time.monotonic_ns()}.txt"
        with self.output_file.open("w") as output:
            self.process = subprocess.Popen(
                command, cwd=clone.root, env=clone.environment, start_new_session=True,
                stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.started: list[psutil.Process] = []

    def output(self) -> str:
        """What it has said so far, in its logs too."""
        logs = sorted((self.clone.root / "logs").glob("*/*.log"))
        return "".join(file.read_text() for file in (self.output_file, *logs) if file.exists())

    def until(self, happens: Callable[[], object]) -> None:
        """Wait for something to happen."""
        deadline = time.monotonic() + 240
        while not happens():
            assert time.monotonic() < deadline, self.output()[-6000:]
            time.sleep(0.1)

    def find(self, command: str) -> psutil.Process:
        """Wait for the process of a command of the pipeline."""
        found: list[psutil.Process] = []

        def is_there() -> bool:
            with suppress(psutil.NoSuchProcess):
                self.started = psutil.Process(self.process.pid).children(recursive=True)
            for process in self.started:
                with suppress(psutil.Error):
                    line = process.cmdline()
                    if line[1:4] == ["-m", "pipeline", command] and "python" in line[0]:
                        found.append(process)
            return bool(found)

        self.until(is_there)
        return found[-1]

    def stop_training(self) -> psutil.Process:
        """Halt the training in its middle."""
        training = self.find("pretrain")
        self.until(lambda: any((self.clone.root / CHECKPOINTS).glob("*/step-*")))
        training.suspend()
        return training

    def kill(self) -> None:
        """kill -9 of the command alone; what it has started goes on."""
        self.process.kill()
        self.process.wait()

    def ends(self) -> int:
        """Wait for its end: its exit status."""
        return self.process.wait(timeout=240)


@contextmanager
def running(clone: Workspace, *command: str) -> Iterator[Run]:
    """A command in the background, of which nothing is left at the end."""
    run = Run(clone, command)
    try:
        yield run
    finally:
        with suppress(psutil.NoSuchProcess):
            run.started += psutil.Process(run.process.pid).children(recursive=True)
        with suppress(ProcessLookupError):
            os.killpg(run.process.pid, signal.SIGKILL)
        run.process.wait()
        for process in run.started:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def result(clone: Workspace) -> dict[str, object]:
    """The weights, what they come from, and what DVC has recorded of them."""
    entry = yaml.safe_load((clone.root / "dvc.lock").read_text())["stages"][STAGE]
    assert json.loads((clone.root / STAMP).read_text()) == entry
    files = {file.name: file.read_bytes() for file in (clone.root / MODEL).iterdir()}
    return {"entry": entry, **files}


def n_trainings(clone: Workspace) -> int:
    """How often a training has been started since the trace was emptied."""
    return clone.trace.read_text().count(" pipeline pretrain ")


def is_whole(clone: Workspace) -> bool:
    """Whether nothing of a fault is left beside the result."""
    beside = {path.name for path in (clone.root / MODEL).parent.iterdir()}
    return not (clone.root / CHECKPOINTS).exists() and beside == {"none-s0", "view-s0"}


def newest_step(clone: Workspace) -> int:
    """Steps of the newest checkpoint."""
    return max(int(path.stem[5:]) for path in (clone.root / CHECKPOINTS).glob("*/step-*"))


@pytest.fixture(scope="module")
def untrained(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A clone in which all is made but the pretraining of `view`."""
    clone = finished.copy(tmp_path_factory.mktemp("faults") / "untrained")
    clone.environment["OMP_NUM_THREADS"] = "1"
    clone.edit("pretraining.steps", N_STEPS)
    clone.edit("pretraining.checkpoint_every", 1)
    shutil.rmtree(clone.root / MODEL)
    shutil.rmtree(clone.root / "logs")
    return clone


@pytest.fixture(scope="module")
def undisturbed(untrained: Workspace) -> dict[str, object]:
    """The result of a run without faults."""
    clone = untrained.copy(untrained.root.with_name("undisturbed"))
    clone.call(*RUN_STAGE)
    return result(clone)


@pytest.fixture
def clone(untrained: Workspace, undisturbed: object, tmp_path: Path) -> Workspace:
    """One to be disturbed."""
    return untrained.copy(tmp_path / "clone")


def test_killed_snakemake_in_a_training(clone: Workspace, undisturbed: object) -> None:
    """Its training goes on; the next run frees the lock, waits and takes the result over."""
    clone.trace.write_text("")
    with running(clone, *SNAKEMAKE) as killed:
        training = killed.stop_training()
        killed.kill()
        assert any((clone.root / ".snakemake/locks").iterdir())
        with running(clone, *SNAKEMAKE) as following:
            following.until(lambda: WAITS in following.output())
            assert "removed the locks of a run that was killed (process " in following.output()
            training.resume()
            assert following.ends() == 0
    assert n_trainings(clone) == 1
    assert result(clone) == undisturbed
    assert is_whole(clone)


def test_killed_snakemake_in_geometry(clone: Workspace) -> None:
    """Its jobs go on; the next run waits for them, and nothing depends on who made the files."""
    overlaps = next((clone.root / "data/artifacts/smoke").glob("*/overlaps.parquet"))
    before = overlaps.read_bytes()
    overlaps.unlink()
    command = ("snakemake", "--cores", "2", str(overlaps.relative_to(clone.root)))
    with running(clone, *command) as killed:
        orphan = killed.find("find-overlaps")
        killed.until(overlaps.with_name(".overlaps.lock").exists)
        orphan.suspend()
        killed.kill()
        with running(clone, *command) as following:
            following.until(lambda: WAITS in following.output())
            orphan.resume()
            assert following.ends() == 0
    assert overlaps.read_bytes() == before
    assert not list(overlaps.parent.glob(".*"))


@pytest.mark.parametrize("command", [DVC, RUN_STAGE], ids=["dvc", "run-stage"])
def test_killed_dvc(clone: Workspace, undisturbed: object, command: tuple[str, ...]) -> None:
    """Its training goes on alone and keeps what it has: the next run only stores that."""
    with running(clone, *command) as killed:
        training = killed.stop_training()
        killed.kill()
        if command == DVC:
            told = clone.call(*DVC, check=False)
            assert told.returncode
            assert TOLD in told.stdout
        with running(clone, *RUN_STAGE) as following:
            following.until(lambda: WAITS in following.output())
            training.resume()
            assert following.ends() == 0
            assert f"resumed after step {N_STEPS}" in following.output()
    assert result(clone) == undisturbed
    assert is_whole(clone)


def test_killed_training(clone: Workspace, undisturbed: object) -> None:
    """Begun by a node that died: its number in DVC's lock is that of a living process here."""
    (clone.root / MODEL).with_name(".view-s0.abcdefgh").mkdir()  # killed while it stored
    with running(clone, *RUN_STAGE) as run:
        run.stop_training().kill()
        assert run.ends() == 1
        assert f"error: {STAGE}: failed to run: python -m pipeline pretrain" in run.output()
    done = newest_step(clone)
    assert 1 <= done < N_STEPS

    stale = {"pid": os.getpid(), "cmd": "dvc repro"}
    locks = {"write": {str(clone.root / MODEL): stale}, "read": {}}
    (clone.root / ".dvc/tmp/rwlock").write_text(json.dumps(locks))
    blocked = clone.call(*DVC, check=False)
    assert blocked.returncode
    assert "you can manually remove" in blocked.stdout
    assert f"resumed after step {done}" in clone.call(*RUN_STAGE).stdout
    assert result(clone) == undisturbed
    assert is_whole(clone)


def test_code_edited_before_a_training_goes_on(clone: Workspace, undisturbed: dict) -> None:
    """It is refused until the edit is accepted; then nothing is trained twice."""
    with running(clone, *RUN_STAGE) as run:
        run.stop_training().kill()
        assert run.ends() == 1
    done = newest_step(clone)
    with (clone.root / "pipeline/losses/info_nce.py").open("a") as file:
        file.write("\n_CHANGES_NOTHING = 1\n")
    clone.call("dvc", "repro", "code")
    refused = clone.call(*RUN_STAGE, check=False)
    assert refused.returncode
    assert "before pipeline.losses.info_nce was edited" in refused.stdout
    assert newest_step(clone) == done

    clone.call("python", "-m", "pipeline", "accept-code")
    assert f"resumed after step {done}" in clone.call(*RUN_STAGE).stdout
    name = "model.safetensors"
    assert result(clone)[name] == undisturbed[name]
    assert is_whole(clone)


def test_runs_that_meet(clone: Workspace, undisturbed: object) -> None:
    """While Snakemake trains, others come: each waits or is told so, and harms nothing."""
    can_unshare = not subprocess.run([*OTHER_NODE, "true"], capture_output=True).returncode
    elsewhere = OTHER_NODE if can_unshare else ()
    started_with = clone.root / "started_with.yaml"
    shutil.copy(clone.root / "params.yaml", started_with)
    with running(clone, *SNAKEMAKE) as first:
        training = first.stop_training()
        clone.edit("pretraining.learning_rate", 0.5)

        second = clone.call(*SNAKEMAKE, check=False)
        assert second.returncode
        assert "another run goes on in this folder (process " in second.stdout
        assert "Directory cannot be locked" in second.stdout

        # DVC removes the lock of a process that it does not find; `dvc repro` would fail by that.
        clone.call(*elsewhere, "dvc", "status")
        told = clone.call(*elsewhere, *DVC, check=False)
        assert told.returncode
        assert TOLD in told.stdout

        clone.environment["PIPELINE_PARAMS"] = str(started_with)
        with running(clone, *elsewhere, *RUN_STAGE) as waiting:
            waiting.until(lambda: WAITS in waiting.output())
            clone.trace.write_text("")
            training.resume()
            assert first.ends() == waiting.ends() == 0
    assert n_trainings(clone) == 0
    assert result(clone) == undisturbed
    assert is_whole(clone)


def test_waiting_stage_keeps_what_its_run_started_with(
    clone: Workspace, undisturbed: object
) -> None:
    """Even the stage's name is no longer in the edited file."""
    started_with = clone.root / "started_with.yaml"
    shutil.copy(clone.root / "params.yaml", started_with)
    clone.edit("pretraining.learning_rate", 0.5)
    clone.edit("dataset.name", "another")
    clone.environment["PIPELINE_PARAMS"] = str(started_with)
    clone.call(*RUN_STAGE)
    assert result(clone) == undisturbed
    clone.edit("dataset.name", "smoke")
    # DVC tells the truth: the result is that of the params before the edit.
    status = json.loads(clone.call("dvc", "status", "--json", STAGE).stdout)
    changed = {"params.yaml": {"pretraining.learning_rate": "modified"}}
    assert status == {STAGE: [{"changed deps": changed}]}
