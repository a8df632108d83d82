"""What a piece of work costs: CPU time here, time and memory in a fresh process.

`python -m benchmarks.geometry.measure MODULE:FUNCTION ARGUMENTS` is the fresh process.
"""

import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Value = TypeVar("Value")

#: One thread a process, as `build-artifacts` and the Snakemake rules run theirs.
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


def cpu_seconds(
    work: Callable[..., Value],
    *arguments: Any,
    repeats: int = 1,
    clock: Callable[[], float] = time.process_time,
) -> tuple[float, Value]:
    """Median CPU seconds of `work(*arguments)`, of all threads of this process, and its result.

    Args:
        work: What is measured.
        arguments: Of `work`.
        repeats: How often it is done.
        clock: Another clock, e.g. `time.perf_counter` for wall time.
    """
    seconds = []
    for _ in range(repeats):
        start = clock()
        value = work(*arguments)
        seconds.append(clock() - start)
    return statistics.median(seconds), value


@dataclass(frozen=True)
class Process:
    """What a fresh process cost.

    Attributes:
        cpu_s: CPU seconds from its start to its end, imports included.
        peak_bytes: its largest resident memory.
        value: what the function returned.
    """

    cpu_s: float
    peak_bytes: int
    value: Any

    @property
    def peak_mb(self) -> float:
        """Peak memory in MB (10^6 bytes)."""
        return self.peak_bytes / 1e6


def in_fresh_process(
    function: Callable[..., Any], *arguments: str | int, environment: dict[str, str] | None = None
) -> Process:
    """Call a module's function in a new process.

    Args:
        function: Found again by its module and name.
        arguments: Plain values.
        environment: Variables that differ.

    Raises:
        RuntimeError: it failed; its output is in the text.
    """
    target = f"{function.__module__}:{function.__qualname__}"
    child = subprocess.Popen(
        [sys.executable, "-m", __name__, target, json.dumps(arguments)],
        env=os.environ | ONE_THREAD | (environment or {}),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{target} failed ({child.returncode}): {output}")
    found = json.loads(output.splitlines()[-1])
    return Process(usage.ru_utime + usage.ru_stime, found["peak_bytes"], found["value"])


def _peak_bytes() -> int:
    """Largest resident memory of this process.

    Not ru_maxrss: that one is inherited from the process that started this one.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmHWM: the memory rows need Linux")


def _main(target: str, arguments: str) -> None:
    module, name = target.split(":")
    value = getattr(importlib.import_module(module), name)(*json.loads(arguments))
    print(json.dumps({"value": value, "peak_bytes": _peak_bytes()}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
