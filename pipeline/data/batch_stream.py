"""Batches in order, made by this process or by others."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from traceback import clear_frames
from typing import Any, TypeVar

import torch

Batch = TypeVar("Batch")
Key = TypeVar("Key")


class WorkerError(Exception):
    """A process that makes batches is gone; the text says what may be the cause."""


class _Batches(torch.utils.data.Dataset[Batch]):
    """A function as DataLoader calls it."""

    def __init__(self, make: Callable[[Any], Batch]) -> None:
        self._make = make

    def __getitem__(self, key: Any) -> Batch:
        return self._make(key)


@contextmanager
def batch_stream(
    make: Callable[[Key], Batch],
    keys: Sequence[Key],
    workers: int,
    pin_memory: bool = False,
) -> Iterator[Iterator[Batch]]:
    """The batches of the given keys in order, made by `workers` processes (0: by this one).

    Args:
        make: Key -> batch.
        keys: What the batches are made from: their numbers, or the rows of each.
        workers: Processes, each of which makes two batches ahead.
        pin_memory: Whether to put them where a GPU can fetch them while it computes.

    Raises:
        WorkerError: one of these processes was killed; wherever the context is at that moment.
    """
    loader = torch.utils.data.DataLoader(
        _Batches(make),
        batch_size=None,
        sampler=keys,
        num_workers=workers,
        pin_memory=pin_memory,
        worker_init_fn=_outlive_sigterm,
    )
    stream = (batch for batch in loader)
    try:
        yield stream
    except BaseException as error:
        clear_frames(error.__traceback__)  # they hold the processes, too
        if not isinstance(error, RuntimeError) or not str(error).startswith("DataLoader worker"):
            raise
        raise WorkerError(
            f"a process that makes batches (workers: {workers}) was killed, perhaps because the "
            f"memory or /dev/shm was full ({error}). Start again to go on from the checkpoint; "
            "where it happens again, with fewer workers (pretraining.workers, finetuning.workers) "
            "or with more memory"
        ) from error
    finally:
        # Now, and not when nobody holds the stream any more: while Python ends, it would wait for
        # processes that outlive its SIGTERM.
        stream.close()


def _outlive_sigterm(worker: int) -> None:
    """Slurm's SIGTERM goes to all processes of a job; the training itself ends its workers."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
