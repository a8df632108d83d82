"""The processes that share one training: torchrun's, or one alone."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class LostProcessError(Exception):
    """Another process of the training has ended; the text says where to look."""


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise LostProcessError(
            f"another process of this training has ended, see its own message ({error})"
        ) from error


@dataclass(frozen=True)
class Processes:
    """The processes of a training, of which each takes some parts of every step.

    A step of `accumulation` parts is what one process would do: process r of W takes the parts
    r, r + W, ..., and the gradients of all parts are summed before each process makes the same
    optimiser step. So the number of processes decides nothing but the time: the weights differ
    only by the order of a sum.

    Not DistributedDataParallel: its forward would have to hold all networks and losses, it sums
    while it accumulates unless told not to, and its mean is wrong where processes have unequally
    many parts. What it would gain, communication during the last part's backward, is little.

    Attributes:
        rank: number of this process.
        size: processes, on all nodes.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process prints and writes."""
        return self.rank == 0

    def own(self, numbers: range, parts: int) -> list[int]:
        """Those of consecutive parts, numbered over all steps, that this process takes.

        Raises:
            ValueError: a step has fewer parts than there are processes.
        """
        if parts < self.size:
            raise ValueError(
                f"{self.size} processes cannot share a step of {parts} part(s): raise "
                f"pretraining.accumulation to a multiple of {self.size}, or start fewer processes"
            )
        return [number for number in numbers if number % parts % self.size == self.rank]

    def total(self, values: Sequence[float | int]) -> list[float]:
        """Sum of each value over all processes; every process has to call it."""
        tensor = torch.tensor(values, dtype=torch.float64)
        self.sum_tensor(tensor)
        return tensor.tolist()

    def sum_tensor(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over all processes; every process has to call it."""
        if self.size > 1:
            with _explained():
                dist.all_reduce(tensor)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace all gradients by their sums over the processes.

        A parameter without gradient in all processes keeps none, so that the optimiser leaves it
        alone as it does in one process.
        """
        if self.size == 1:
            return
        parameters = list(parameters)
        uses = self.total([parameter.grad is not None for parameter in parameters])
        used = [parameter for parameter, n in zip(parameters, uses, strict=True) if n]
        for parameter in used:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in used if parameter.grad is not None]
        if not gradients:
            return
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        self.sum_tensor(flat)
        sums = flat.split([gradient.numel() for gradient in gradients])
        for gradient, summed in zip(gradients, sums, strict=True):
            gradient.copy_(summed.view_as(gradient))

    def from_main(self, load: Callable[[], Any]) -> Any:
        """What `load` returns in process 0: a shared disk may show the others an older state."""
        found = [load() if self.is_main else None]
        if self.size > 1:
            with _explained():
                dist.broadcast_object_list(found, device=torch.device("cpu"))
        return found[0]


ALONE = Processes()


def is_one_of_many() -> bool:
    """Whether torchrun has started this process."""
    return dist.is_torchelastic_launched()


def local_device(device: torch.device) -> torch.device:
    """This process's own GPU, where a GPU is asked for."""
    if device.type != "cuda" or not is_one_of_many():
        return device
    own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(own)
    return own


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """Join the processes that torchrun has started, if it has.

    Args:
        device: Where this process trains: gradients go by NCCL between GPUs, all else by gloo.
    """
    if not is_one_of_many():
        yield ALONE
        return
    with _explained():
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    yield Processes(dist.get_rank(), dist.get_world_size())
    # Not after an error: the other processes may not come.
    dist.destroy_process_group()
