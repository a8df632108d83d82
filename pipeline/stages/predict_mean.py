"""`predict-mean`: what predicting the training frames' mean is worth on the validation frames."""

import argparse

import torch

from pipeline import layout
from pipeline.atomic import write_json
from pipeline.config import load_params
from pipeline.data.cache import ByteCache
from pipeline.data.labelled import load_labelled
from pipeline.readers.labels import IGNORE, class_names
from pipeline.stages.artifact_check import check_artifacts
from pipeline.stages.common import read_split
from pipeline.training.mean_predictor import evaluate_means, training_means
from pipeline.training.tasks import depth_task, reconstruction_task, segmentation_task


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments: everything comes from params.yaml."""


def run(args: argparse.Namespace) -> None:
    """Store results/DATASET/mean_predictor.json: scores by task, and why a task has none."""
    params = load_params()
    dataset, section = params.dataset.name, params.finetuning
    check_artifacts(dataset, ["labelled_frames"])
    split = read_split(params)
    training, validation = load_labelled(
        layout.artifacts_dir(dataset),
        [*split["train"], *split["validation"]],
        split["validation"],
        params.labelled.validation_frames,
        ByteCache(),
    )
    classes, cpu = class_names(params.labelled.label_map), torch.device("cpu")
    tasks = {
        "depth": depth_task(section),
        "reconstruction": reconstruction_task(),
        "segmentation": segmentation_task(classes, cpu, section.miou_counting),
    }
    splits = {"training": training, "validation": validation}
    unlabelled = [name for name, frames in splits.items() if not frames.labelled_rows()]
    skipped = {}
    if "segmentation" in section.tasks and unlabelled:
        skipped["segmentation"] = f"no labels in the {' and '.join(unlabelled)} frames"
    means = training_means(training, section.depth_max_m)
    scores = evaluate_means(
        means, validation, [tasks[name] for name in section.tasks if name not in skipped]
    )
    content = {
        "n_train": len(training),
        "n_validation": len(validation),
        "depth_m": means.depth_m,
        "colour": means.colour.tolist(),
        "label": classes[means.label] if means.label != IGNORE else None,
        "skipped": skipped,
        "tasks": scores,
    }
    write_json(layout.mean_predictor(dataset), content)
