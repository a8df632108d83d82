"""The floor of every table: one constant for all pixels, the mean of the training frames."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from pipeline.data.labelled import LabelledBatch, LabelledFrames
from pipeline.evaluation.metrics import DepthMetrics
from pipeline.readers.labels import IGNORE
from pipeline.training.fixed_outputs import in_batches
from pipeline.training.tasks import Task


@dataclass(frozen=True)
class TrainingMeans:
    """What the training frames look like on average.

    Attributes:
        depth_m: mean depth over the valid pixels, metres; NaN without any.
        colour: float64 (3,), mean ImageNet-normalised RGB over all pixels.
        label: most frequent class, of equally frequent ones the first; IGNORE without labels.
    """

    depth_m: float
    colour: Float64[Tensor, "3"]
    label: int


def training_means(frames: LabelledFrames, depth_max_m: float) -> TrainingMeans:
    """Means over all pixels of all frames, in one pass.

    Args:
        frames: Of training.
        depth_max_m: Depth beyond this does not count, metres.
    """
    valid = DepthMetrics(depth_max_m).valid
    depth_sum, n_depth, n_pixels = 0.0, 0, 0
    colour_sum = torch.zeros(3, dtype=torch.float64)
    counts = torch.zeros(IGNORE, dtype=torch.int64)
    for indices in in_batches(list(range(len(frames)))):
        batch = frames.batch(indices)
        depth = batch.depth[valid(batch.depth)]
        depth_sum += depth.double().sum().item()
        n_depth += depth.numel()
        colour_sum += batch.images.double().sum(dim=(0, 2, 3))
        n_pixels += batch.depth.numel()
        counts += torch.bincount(batch.label[batch.label != IGNORE].long(), minlength=IGNORE)
    return TrainingMeans(
        depth_m=depth_sum / n_depth if n_depth else float("nan"),
        colour=colour_sum / n_pixels,
        label=int(counts.argmax()) if counts.any() else IGNORE,
    )


#: Task -> (means, metric, batch): adds what the constant is worth on a batch.
_ADD: dict[str, Callable[[TrainingMeans, Any, LabelledBatch], None]] = {
    "depth": lambda means, metric, batch: metric.process(
        torch.full_like(batch.depth, means.depth_m), batch.depth
    ),
    "reconstruction": lambda means, metric, batch: metric.process(
        means.colour.to(batch.images.dtype).view(3, 1, 1).expand_as(batch.images), batch.images
    ),
    "segmentation": lambda means, metric, batch: metric.process(
        torch.full_like(batch.label, means.label), batch.label
    ),
}


def evaluate_means(
    means: TrainingMeans, frames: LabelledFrames, tasks: Sequence[Task]
) -> dict[str, dict[str, Any]]:
    """Scores of the constants, with the metrics of the networks.

    Args:
        means: Of the training frames; with a label if segmentation is among the tasks.
        frames: Of validation.
        tasks: As networks are finetuned for.

    Returns:
        Task -> scores over all frames and, under "scenes", over those of each scene.
    """
    results = {}
    for task in tasks:
        rows = frames.labelled_rows() if task.name == "segmentation" else range(len(frames))
        metric, scenes = task.make_metric(), {}
        for scene, of_scene in groupby(rows, key=lambda row: frames.keys[row][0]):
            scenes[scene] = task.make_metric()
            for indices in in_batches(list(of_scene)):
                batch = frames.batch(indices)
                for each in (metric, scenes[scene]):
                    _ADD[task.name](means, each, batch)
        per_scene = {scene: each.evaluate() for scene, each in scenes.items()}
        results[task.name] = {**metric.evaluate(), "scenes": per_scene}
    return results
