"""Which cells an item of the finetuning stages trains, on which frames, with which network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pipeline.config import SEGMENTATION_ALONE, Params, Protocol
from pipeline.data.label_fractions import describe_frames, draw_fraction
from pipeline.data.labelled import LabelledFrames
from pipeline.models.unet import UNet2D
from pipeline.readers.labels import class_names
from pipeline.stages.training_run import Item
from pipeline.training.network_recipe import network_recipe
from pipeline.training.recipes import Recipe, unet_recipe
from pipeline.training.tasks import Task, depth_task, reconstruction_task, segmentation_task


@dataclass(frozen=True)
class Plan:
    """The cells of an item.

    Attributes:
        recipe: network and schedule of all cells.
        protocols: rows of cells.
        tasks: columns of cells.
        skipped: task -> why it cannot be done with these frames.
        everything: split -> indices of all its frames.
        labelled: split -> indices of the frames with labels, of a label fraction its own.
    """

    recipe: Recipe
    protocols: Sequence[Protocol]
    tasks: Sequence[Task]
    skipped: dict[str, str]
    everything: dict[str, list[int]]
    labelled: dict[str, list[int]]

    def rows(self, task: Task) -> dict[str, list[int]]:
        """Frames of a task: those with labels, where it needs them."""
        return self.labelled if task.name == "segmentation" else self.everything

    def labelled_training(self, training: LabelledFrames) -> dict[str, Any]:
        """List of the labelled frames that train."""
        return describe_frames([training.keys[row] for row in self.labelled["training"]])


#: The stage whose items train all tasks with all protocols; those of the others one cell each.
ALL_CELLS = "finetune"


def task_names(item: Item, params: Params) -> list[str]:
    """Tasks of an item: all that are asked for, or segmentation alone."""
    return [*params.finetuning.tasks] if item.stage == ALL_CELLS else [SEGMENTATION_ALONE[1]]


def make_plan(
    item: Item,
    params: Params,
    unet: UNet2D,
    training: LabelledFrames,
    validation: LabelledFrames,
    device: torch.device,
) -> Plan:
    """All tasks and protocols, or one cell: segmentation, on fewer labels, with another network.

    Args:
        item: Its keys `percent` and `network` ask for the latter.
        params: Of the run.
        unet: Pretrained; it is never changed.
        training: All training frames.
        validation: All validation frames.
        device: Of the metrics.

    Raises:
        ArtifactError: no frame fits into the share of the labels.
    """
    section, splits = params.finetuning, {"training": training, "validation": validation}
    percent, network = item.keys.get("percent"), item.keys.get("network")
    names = task_names(item, params)
    labelled = {name: split.labelled_rows() for name, split in splits.items()}
    empty = [name for name, rows in labelled.items() if not rows]
    skipped = {}
    if "segmentation" in names and empty:
        skipped["segmentation"] = f"no labels in the {' and '.join(empty)} frames"
    elif percent is not None:
        rows = labelled["training"]
        keys = [training.keys[row] for row in rows]
        drawn = draw_fraction(keys, int(percent), params.label_fractions.by, item.seed)
        labelled["training"] = [rows[index] for index in drawn]
    if network is None:
        recipe, counting = unet_recipe(unet, section), section.miou_counting
    else:
        recipe = network_recipe(
            network, unet, params.networks, section.evaluations, section.compute
        )
        counting = "classes"  # Pri3D's DeepLab and PSPNet have no output for "none of them"
    tasks = {
        "depth": depth_task(section),
        "reconstruction": reconstruction_task(),
        "segmentation": segmentation_task(class_names(params.labelled.label_map), device, counting),
    }
    return Plan(
        recipe=recipe,
        protocols=section.protocols if item.stage == ALL_CELLS else [SEGMENTATION_ALONE[0]],
        tasks=[tasks[name] for name in names if name not in skipped],
        skipped=skipped,
        everything={name: list(range(len(split))) for name, split in splits.items()},
        labelled=labelled,
    )
