"""BatchNorm's running statistics of a step that is made in parts."""

from collections.abc import Iterable

import torch
from torch import Tensor

from pipeline.training.distributed import Processes


class StepStatistics:
    """Moves running statistics once a step, by the mean over its parts.

    As PyTorch moves them, by each part in turn, they would depend on the order of the parts and
    so on how many processes share them.
    """

    def __init__(self, buffers: Iterable[Tensor]) -> None:
        """Remember where they stand before the step.

        Args:
            buffers: Of a model, on one device; changed in place.
        """
        self._buffers = list(buffers)
        self._before = self._flat()
        self._sum = torch.zeros_like(self._before)

    def _flat(self) -> Tensor:
        flat = [buffer.reshape(-1).double() for buffer in self._buffers]
        return torch.cat(flat) if flat else torch.empty(0, dtype=torch.float64)

    def _set(self, flat: Tensor) -> None:
        sizes = [buffer.numel() for buffer in self._buffers]
        for buffer, values in zip(self._buffers, flat.split(sizes), strict=True):
            buffer.copy_(values.view_as(buffer))

    def end_part(self) -> None:
        """Note what a part (forward and backward) made of them and put them back."""
        self._sum += self._flat()
        self._set(self._before)

    def end_step(self, parts: int, processes: Processes) -> None:
        """Set them to the mean over all parts of all processes."""
        processes.sum_tensor(self._sum)
        self._set(self._sum / parts)
