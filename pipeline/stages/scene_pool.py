"""Work on many scenes in parallel processes, and a line for each as it is done."""

import argparse
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@dataclass(frozen=True)
class Outcome:
    """What became of one scene: `made`, `kept`, `valid`, `invalid` or `failed`, and why.

    `state` is what `build_artifacts.remember` notes of a scene that was made.
    """

    scene: str
    kind: str
    text: str
    state: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_bad(self) -> bool:
        """Whether the command has to end with an error."""
        return self.kind in ("invalid", "failed")


def add_jobs_argument(parser: argparse.ArgumentParser) -> None:
    """The option --jobs: by default a process per core."""
    parser.add_argument(
        "--jobs", type=int, metavar="N", default=len(os.sched_getaffinity(0)), help="processes"
    )


def in_processes(work: Callable[[str], Outcome], scenes: list[str], jobs: int) -> Iterator[Outcome]:
    """Outcomes of `work(scene)`, which must not raise, in the order in which they are done.

    A killed process takes those beside it along: their scenes are then tried again one by one, and
    only one that is killed alone has failed.
    """
    # One thread per process: the processes share the cores. Read by OpenMP when it starts.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    waiting = deque(scenes)
    while waiting:
        lost = yield from _until_killed(work, waiting, jobs)
        for scene in lost:
            if jobs == 1 or (yield from _until_killed(work, deque([scene]), 1)):
                text = "its process was killed, with none beside it (out of memory?)"
                yield Outcome(scene, "failed", text)


def _until_killed(
    work: Callable[[str], Outcome], waiting: deque[str], jobs: int
) -> Generator[Outcome, None, list[str]]:
    """Work in one pool until all scenes are done or a process is killed.

    Args:
        work: As in `in_processes`.
        waiting: Scenes; those that are started are taken out.
        jobs: Processes.

    Returns:
        Scenes that were started and have no outcome.
    """
    lost: list[str] = []
    running: dict[Future[Outcome], str] = {}
    with ProcessPoolExecutor(min(jobs, len(waiting)), get_context("spawn")) as pool:
        while True:
            with suppress(BrokenProcessPool):  # killed just now; the running ones say so, too
                # Not all at once: what the pool has queued is lost with its processes.
                while waiting and not lost and len(running) < jobs:
                    running[pool.submit(work, waiting[0])] = waiting[0]
                    waiting.popleft()
            if not running:
                return lost
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                scene = running.pop(future)
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    lost.append(scene)
                else:
                    yield outcome


class Display:
    """A progress bar on a terminal; elsewhere a plain line per scene."""

    def __init__(self, console: Console, n_scenes: int) -> None:
        self._console = console
        self._n_scenes = n_scenes
        self._n_done = 0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("scenes", total=n_scenes)

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, outcome: Outcome) -> None:
        """Print one outcome above the bar."""
        self._n_done += 1
        text = f"[{self._n_done}/{self._n_scenes}] {outcome.scene}: {outcome.kind}: {outcome.text}"
        self._console.print(f"[red]{escape(text)}[/red]" if outcome.is_bad else escape(text))
        self._progress.advance(self._task)
