"""SIGTERM as a request: the step is finished, a checkpoint kept, and the next start goes on."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


class Interrupted(Exception):
    """Training has stopped because it was asked to; the text says where."""


@dataclass
class StopRequest:
    """Whether this process has been asked to stop."""

    is_made: bool = False


@contextmanager
def stop_request(repeatable: bool = False) -> Iterator[StopRequest]:
    """Take SIGTERM as a request while the context lasts; a second one ends the process at once.

    Slurm sends SIGTERM before a job's time limit (`--signal=TERM@120`), when it preempts the job
    and on scancel.

    Args:
        repeatable: Further signals change nothing: of a training's several processes each gets
            the signal from Slurm, and from the process that started them.
    """
    request = StopRequest()

    def note(number: int, frame: FrameType | None) -> None:
        request.is_made = True
        if not repeatable:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield request
    finally:
        signal.signal(signal.SIGTERM, before)
