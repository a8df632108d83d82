"""Starts a training once per GPU, on all nodes of a Slurm job, by torchrun."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

import psutil
import torch

from pipeline.stages.common import StageError

#: Seconds between looks at the processes.
_INTERVAL_S = 1.0
#: What Slurm's commands need to find the job; the rest would be options of the inner srun.
_SLURM_IDENTITY = ("SLURM_JOB_ID", "SLURM_JOBID", "SLURM_CLUSTER_NAME", "SLURM_CONF")
#: Before a command: SIGTERM, which Slurm sends to all processes of a job, is for the trainings.
#: torchrun would kill them 30 s after it.
_WITHOUT_SIGTERM = ("sh", "-c", 'trap "" TERM; exec "$0" "$@"')


@dataclass(frozen=True)
class Launch:
    """How many processes train together, and where.

    Attributes:
        nodes: addresses of a Slurm job's nodes; empty for this machine alone.
        per_node: processes on each.
    """

    nodes: tuple[str, ...]
    per_node: int

    @property
    def size(self) -> int:
        """Processes on all nodes."""
        return max(1, len(self.nodes)) * self.per_node

    def command(self, arguments: Sequence[str]) -> list[str]:
        """Command that runs `python -m pipeline ARGUMENTS` in all processes."""
        torchrun = [*_WITHOUT_SIGTERM, sys.executable, "-m", "torch.distributed.run"]
        torchrun += ["--signals-to-handle", "SIGINT,SIGHUP,SIGQUIT"]
        torchrun += ["--nproc-per-node", str(self.per_node)]
        # Without `--`, torchrun takes --start for the beginning of an option of its own.
        pipeline = ["-m", "--", "pipeline", *arguments]
        n_nodes = len(self.nodes)
        if n_nodes < 2:
            return [*torchrun, "--standalone", *pipeline]
        job = os.environ["SLURM_JOB_ID"]
        # Jobs that share a node must not share a port.
        port = 20_000 + int(job) % 10_000
        srun = ["srun", "--overlap", f"--nodes={n_nodes}", f"--ntasks={n_nodes}"]
        srun += ["--ntasks-per-node=1", "--kill-on-bad-exit=1"]
        rendezvous = ["--rdzv-backend", "c10d", "--rdzv-id", job]
        rendezvous += ["--rdzv-endpoint", f"{self.nodes[0]}:{port}"]
        return [*srun, *torchrun, "--nnodes", str(n_nodes), *rendezvous, *pipeline]


ALONE = Launch((), 1)


def plan_launch(asked: int | None, parts: int, device: torch.device) -> Launch:
    """Decide how many processes train.

    Args:
        asked: Processes on each node; None: one per GPU, up to the parts of a step.
        parts: Of a step (`pretraining.accumulation`): each is the work of one process.
        device: Where to train.

    Raises:
        StageError: a step has fewer parts than there are nodes, or processes that were asked for.
    """
    nodes = slurm_nodes()
    n_nodes = max(1, len(nodes))
    gpus = torch.cuda.device_count() if device.type == "cuda" else 1
    needed = n_nodes * (asked or 1)
    if parts < needed:
        raise StageError(
            f"{needed} processes on {n_nodes} node(s) cannot share a step of {parts} part(s): "
            f"set pretraining.accumulation to a multiple of {needed}, or ask for fewer"
        )
    per_node = asked or min(gpus, parts // n_nodes)
    if per_node < gpus:
        print(
            f"{per_node} of {gpus} GPUs of each node are used: a step has {parts} part(s) "
            "(pretraining.accumulation), and a process takes one at least",
            flush=True,
        )
    return Launch(tuple(nodes), per_node)


def slurm_nodes() -> list[str]:
    """Addresses of this Slurm job's nodes; none without Slurm.

    The job is asked: in a step, the environment tells the step's nodes, not the job's.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return []
    try:
        (nodes,) = _shown("NodeList", "job", job)
        return _shown("NodeAddr", "nodes", nodes)
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        print(f"scontrol does not tell the nodes of job {job} ({error}): one is used", flush=True)
        return []


def _shown(field: str, kind: str, name: str) -> list[str]:
    command = ["scontrol", "--oneliner", "show", kind, name]
    shown = subprocess.run(command, text=True, capture_output=True, check=True).stdout
    return re.findall(rf"\b{field}=(\S+)", shown)


def run(launch: Launch, arguments: Sequence[str]) -> bool:
    """Run `python -m pipeline ARGUMENTS` in all processes and wait for them.

    SIGTERM is passed on to them (over several nodes Slurm does so); a second one kills them.

    Returns:
        Whether they ended by themselves, and not because SIGTERM came before they listened.

    Raises:
        StageError: one of them failed.
    """
    alone = len(launch.nodes) < 2
    if not alone and os.environ.get("SLURM_STEP_ID", "").isdigit():
        print(
            "this is a step of a Slurm job over several nodes: a signal before the time limit "
            "kills the training without a checkpoint; start it from the job's script instead "
            "(with Snakemake: the resource mpi, see slurm/profile.yaml)",
            flush=True,
        )
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("SLURM_") or name in _SLURM_IDENTITY
    }
    environment["OMP_NUM_THREADS"] = str(max(1, torch.get_num_threads() // launch.per_node))
    signals: list[int] = []
    process: subprocess.Popen[bytes] | None = None
    started: list[psutil.Process] = []

    def pass_on() -> None:
        if signals and alone and process is not None:
            with suppress(psutil.NoSuchProcess):
                for each in psutil.Process(process.pid).children():
                    each.terminate()

    def note(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        pass_on()

    where = f", on the nodes {', '.join(launch.nodes)}" if launch.nodes else ""
    print(f"{launch.size} processes train together{where}", flush=True)
    before = signal.signal(signal.SIGTERM, note)
    try:
        process = subprocess.Popen(launch.command(arguments), env=environment)
        while (status := _wait(process)) is None and len(signals) < 2:
            started = psutil.Process().children(recursive=True)
            pass_on()  # again: one that has just been started does not listen yet
    finally:
        for each in started:  # also those of a torchrun that was killed
            with suppress(psutil.NoSuchProcess):
                each.kill()
        signal.signal(signal.SIGTERM, before)
    if len(signals) > 1:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
    if status and not signals:
        raise StageError(
            f"torchrun ended with status {status}: see above what its processes say; start again "
            "to go on from the newest checkpoint"
        )
    return status == 0


def _wait(process: subprocess.Popen[bytes]) -> int | None:
    with suppress(subprocess.TimeoutExpired):
        return process.wait(_INTERVAL_S)
    return None
