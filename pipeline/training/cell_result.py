"""What one cell of finetuning leaves behind, as one file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.training.checkpoint import load_usable, save_tensors


@dataclass
class CellResult:
    """One protocol and task.

    Attributes:
        metrics: best, last, steps as in metrics.json.
        weights: tensors that were trained, after the last step.
        picture: predictions of the pictured frames after the last step; None for tasks without.
    """

    metrics: dict[str, Any]
    weights: dict[str, Tensor]
    picture: Tensor | None

    def save(self, path: Path) -> None:
        """Write the result to one file, atomically."""
        tensors = {f"weights.{name}": tensor for name, tensor in self.weights.items()}
        if self.picture is not None:
            tensors["picture"] = self.picture
        save_tensors(path, tensors, self.metrics)

    @staticmethod
    def load(path: Path) -> "CellResult | None":
        """What `save` wrote; None if it is missing or damaged."""
        if (found := load_usable(path)) is None:
            return None
        tensors, metrics = found
        picture = tensors.pop("picture", None)
        weights = {name.removeprefix("weights."): tensor for name, tensor in tensors.items()}
        return CellResult(metrics, weights, picture)
