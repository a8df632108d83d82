"""Batches of tensors on their way to a device."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch

Batch = TypeVar("Batch")


def _with_tensors(batch: Batch, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
    changed: dict[str, Any] = {}
    for field in fields(batch):  # type: ignore[arg-type]
        value = getattr(batch, field.name)
        if isinstance(value, torch.Tensor):
            changed[field.name] = change(value)
        elif is_dataclass(value):
            changed[field.name] = _with_tensors(value, change)
    return replace(batch, **changed)  # type: ignore[type-var]


class Movable:
    """A frozen dataclass whose tensors, also those of dataclasses in it, move together."""

    def to(self: Batch, device: torch.device) -> Batch:
        """The batch with its tensors on `device`; from pinned memory while that computes."""
        return _with_tensors(self, lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self: Batch) -> Batch:
        """The batch in memory that a GPU can read by itself; DataLoader calls this."""
        return _with_tensors(self, torch.Tensor.pin_memory)
