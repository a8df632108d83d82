"""Work on many scenes in parallel processes, and a line for each as it is done."""

import argparse
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@dataclass(frozen=True)
class Outcome:
    """What became of one scene: `made`, `kept`, `valid`, `invalid` or `failed`, and why."""

    scene: str
    kind: str
    text: str

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
    """Outcomes of `work(scene)`, which must not raise, in the order in which they are done."""
    # One thread per process: the processes share the cores. Read by OpenMP when it starts.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with ProcessPoolExecutor(min(jobs, len(scenes)), get_context("spawn")) as pool:
        futures: dict[Future[Outcome], str] = {pool.submit(work, scene): scene for scene in scenes}
        try:
            for future in as_completed(futures):
                try:
                    yield future.result()
                except BrokenProcessPool:
                    text = "its process, or one beside it, was killed (out of memory?); "
                    text += "fewer --jobs need less"
                    yield Outcome(futures[future], "failed", text)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


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
