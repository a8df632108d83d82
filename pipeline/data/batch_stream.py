"""Batches in order, made by this process or by others."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch

Batch = TypeVar("Batch")


class WorkerError(Exception):
    """A process that makes batches is gone; the text says what may be the cause."""


@contextmanager
def batch_stream(
    batches: torch.utils.data.Dataset[Batch],
    numbers: Sequence[int],
    workers: int,
    pin_memory: bool = False,
) -> Iterator[Iterator[Batch]]:
    """The batches of the given numbers in order, made by `workers` processes (0: by this one).

    Args:
        batches: Batch number -> batch.
        numbers: Of the batches.
        workers: Processes, each of which makes two batches ahead.
        pin_memory: Whether to put them where a GPU can fetch them while it computes.

    Raises:
        WorkerError: one of these processes was killed; wherever the context is at that moment.
    """
    loader = torch.utils.data.DataLoader(
        batches,
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        pin_memory=pin_memory,
        worker_init_fn=_outlive_sigterm,
    )
    try:
        yield iter(loader)
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise WorkerError(
            f"a process that makes batches (pretraining.workers: {workers}) was killed, perhaps "
            f"because the memory was full ({error}); start again to go on from the checkpoint"
        ) from error


def _outlive_sigterm(worker: int) -> None:
    """Slurm's SIGTERM goes to all processes of a job; the training itself ends its workers."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
