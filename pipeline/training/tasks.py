"""The downstream tasks: channels, loss and metric of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.config import Finetuning
from pipeline.data.images import denormalise
from pipeline.data.labelled import LabelledBatch
from pipeline.evaluation.metrics import DepthMetrics, ReconstructionMetrics, SegmentationMetrics
from pipeline.readers.labels import IGNORE
from pipeline.training.cell_network import Prediction


@dataclass(frozen=True)
class Task:
    """A downstream task.

    Attributes:
        name: as in params.
        channels: of the prediction.
        score: the metric by which the best validation is chosen; larger is better.
        loss: (prediction, batch) -> scalar.
        make_metric: empty metric of `pipeline.evaluation.metrics`.
        process: adds (metric, prediction, batch).
        picture: prediction -> what pictures.npz keeps; None for tasks without.

    Source: paper 000 section 4.1.2; spec D.1, D.5.
    """

    name: str
    channels: int
    score: str
    loss: Callable[[Tensor, LabelledBatch], Tensor]
    make_metric: Callable[[], Any]
    process: Callable[[Any, Tensor, LabelledBatch], None]
    picture: Callable[[Tensor], Tensor] | None


def depth_task(section: Finetuning) -> Task:
    """Depth in metres, L2 on the pixels with depth.

    Source: paper 000 section 4.1.2. Deviation: missing depth is masked (the paper does not say).
    """

    def make_metric() -> DepthMetrics:
        return DepthMetrics(section.depth_max_m)

    def loss(prediction: Prediction, batch: LabelledBatch) -> Tensor:
        valid = make_metric().valid(batch.depth)
        squared = (prediction[:, 0] - batch.depth).square()
        return (squared * valid).sum() / valid.sum().clamp(min=1)

    return Task(
        name="depth",
        channels=1,
        score="score",
        loss=loss,
        make_metric=make_metric,
        process=lambda metric, prediction, batch: metric.process(prediction[:, 0], batch.depth),
        picture=lambda prediction: prediction[:, 0],
    )


def reconstruction_task() -> Task:
    """The input's ImageNet-normalised RGB, L2 on all pixels.

    Source: paper 000 section 4.1.2; spec D.5 for the normalisation.
    """
    return Task(
        name="reconstruction",
        channels=3,
        score="score",
        loss=lambda prediction, batch: functional.mse_loss(prediction, batch.images),
        make_metric=ReconstructionMetrics,
        process=lambda metric, prediction, batch: metric.process(prediction, batch.images),
        picture=lambda prediction: (denormalise(prediction).clamp(0, 1) * 255).round().byte(),
    )


#: How the mIoU is counted.
Counting = Literal["classes", "pri3d"]


class _NamedSegmentation(SegmentationMetrics):
    """Segmentation metrics whose `per_class` has the classes' names as keys."""

    def __init__(
        self, class_names: Sequence[str], device: torch.device, counting: Counting
    ) -> None:
        if counting == "pri3d":
            super().__init__(len(class_names), IGNORE, "zero", "drop", device)
        else:
            super().__init__(len(class_names), IGNORE, device=device)
        self._names = class_names

    def evaluate(self) -> dict[str, Any]:
        result: dict[str, Any] = super().evaluate()
        named = {self._names[index]: iou for index, iou in result["per_class"].items()}
        return {**result, "per_class": named}


def segmentation_task(
    class_names: Sequence[str], device: torch.device, counting: Counting = "classes"
) -> Task:
    """Semantic classes, cross-entropy on the pixels with a label.

    Args:
        class_names: Of classes 0, 1, ...
        device: Of the metric.
        counting: `pri3d`: output 0 means "none of the classes", is never a target, and hides the
            misses of the pixels where it is predicted; classes without pixels count 0.

    Source: paper 000 section 4.1.2; spec D.1. Deviation of `classes`: no output for "none".
    """
    #: Output of class 0.
    first = 1 if counting == "pri3d" else 0

    def loss(prediction: Prediction, batch: LabelledBatch) -> Tensor:
        label = batch.label.long()
        target = torch.where(label == IGNORE, IGNORE, label + first)
        total = functional.cross_entropy(prediction, target, ignore_index=IGNORE, reduction="sum")
        return total / (target != IGNORE).sum().clamp(min=1)

    return Task(
        name="segmentation",
        channels=len(class_names) + first,
        score="miou",
        loss=loss,
        make_metric=lambda: _NamedSegmentation(class_names, device, counting),
        process=lambda metric, prediction, batch: metric.process(
            prediction.argmax(dim=1) - first, batch.label
        ),
        picture=None,
    )
