"""`finetune`: pretrained weights -> all tasks and protocols, metrics and pictures."""

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline import layout
from pipeline.atomic import atomic_path, write_json
from pipeline.config import Params, load_params
from pipeline.data.cache import ByteCache
from pipeline.data.labelled import LabelledFrames, load_labelled
from pipeline.models.loading import CheckpointError, load_pretrained
from pipeline.readers.labels import class_names
from pipeline.stages import training_run
from pipeline.stages.artifact_check import check_artifacts
from pipeline.stages.common import StageError, read_split
from pipeline.stages.training_run import Item
from pipeline.training.cell_result import CellResult
from pipeline.training.checkpoint import atomic_folder, save_tensors
from pipeline.training.finetune import Finetuner, finetune, picture_rows
from pipeline.training.interruption import Interrupted, StopRequest, stop_request
from pipeline.training.optimisation import TrainingError
from pipeline.training.recipes import unet_recipe
from pipeline.training.tasks import depth_task, reconstruction_task, segmentation_task

add_arguments = training_run.add_arguments


def run(args: argparse.Namespace) -> int:
    """Finetune and store results/DATASET/finetune/VARIANT-sSEED, and the weights in models/.

    Returns:
        0, or EX_TEMPFAIL where SIGTERM stopped it.
    """
    item = Item("finetune", load_params().dataset.name, {"variant": args.variant}, args.seed)
    with stop_request() as stop, training_run.only_run(item):
        return _run(args, item, stop)


def _run(args: argparse.Namespace, item: Item, stop: StopRequest) -> int:
    params, device = training_run.start(args)
    dataset = params.dataset.name
    used = training_run.used_params(params, item)
    pretrained = layout.pretrained(params.pretrained_on, args.variant, args.seed)
    inputs = [
        layout.manifest(dataset, "labelled_frames"),
        layout.split(dataset),
        *(pretrained / name for name in ("model.safetensors", "metadata.json")),
    ]
    check_artifacts(dataset, ["labelled_frames"])
    split = read_split(params)
    try:
        unet = load_pretrained(pretrained)
        training, validation = load_labelled(
            layout.artifacts_dir(dataset),
            [*split["train"], *split["validation"]],
            split["validation"],
            params.labelled.validation_frames,
            ByteCache(),
        )
        recipe = unet_recipe(unet, params.finetuning)
        finetuner = Finetuner(recipe, training, validation, args.seed, device)
        labelled = {"training": training.labelled_rows(), "validation": validation.labelled_rows()}
        everything = {
            "training": list(range(len(training))),
            "validation": list(range(len(validation))),
        }
        classes = class_names(params.labelled.label_map)
        tasks = {
            "depth": depth_task(params.finetuning),
            "reconstruction": reconstruction_task(),
            "segmentation": segmentation_task(classes, device),
        }
        skipped = _skipped(params, labelled)
        cells = finetune(
            finetuner,
            params.finetuning.protocols,
            [tasks[name] for name in params.finetuning.tasks if name not in skipped],
            lambda task: labelled if task.name == "segmentation" else everything,
            training_run.checkpoint_folder(item, used, inputs),
            stop,
        )
    except Interrupted as stopped:
        training_run.report_interruption(item, str(stopped))
        return os.EX_TEMPFAIL
    except (TrainingError, CheckpointError) as error:
        raise StageError(f"{item.name}: {error}") from error
    training_run.check_unchanged(used, item)
    kept = cells if params.finetuning.keep_weights else {}
    _store_weights(layout.finetuned(dataset, item.label, item.seed), kept, unet.settings)
    with atomic_folder(layout.finetune_results(dataset, item.label, item.seed)) as folder:
        write_json(
            folder / "metrics.json",
            {
                "variant": args.variant,
                "seed": args.seed,
                "dataset": dataset,
                "n_train": len(training),
                "n_validation": len(validation),
                "skipped": skipped,
                "pretraining": json.loads((pretrained / "metadata.json").read_text())["history"],
                "cells": {name: cell.metrics for name, cell in cells.items()},
            },
        )
        _store_pictures(folder / "pictures.npz", cells, validation)
    training_run.discard_checkpoints(item)
    return 0


def _skipped(params: Params, labelled: Mapping[str, list[int]]) -> dict[str, str]:
    """Task -> why it cannot be done with these frames."""
    empty = [split for split, rows in labelled.items() if not rows]
    if "segmentation" not in params.finetuning.tasks or not empty:
        return {}
    return {"segmentation": f"no labels in the {' and '.join(empty)} frames"}


def _store_weights(
    path: Path, cells: Mapping[str, CellResult], settings: Mapping[str, object]
) -> None:
    """One safetensors file per cell, with the UNet's arguments and the metrics in its header."""
    with atomic_folder(path) as folder:
        for name, cell in cells.items():
            file = folder / f"{name.replace('/', '-')}.safetensors"
            save_tensors(file, cell.weights, {"model": settings, "metrics": cell.metrics})


def _store_pictures(
    path: Path, cells: Mapping[str, CellResult], validation: LabelledFrames
) -> None:
    """A few validation frames and what each cell predicts for them."""
    rows = picture_rows(len(validation))
    frames = [validation[row] for row in rows]
    arrays = {
        "frame": np.array(
            [f"{scene} {frame}" for scene, frame in (validation.keys[r] for r in rows)]
        ),
        "image": np.stack([frame.color for frame in frames]),
        "depth_true": np.stack([frame.depth for frame in frames]),
    }
    for name, cell in cells.items():
        if cell.picture is not None:
            array = cell.picture.cpu().numpy()
            arrays[name] = np.moveaxis(array, 1, -1) if array.ndim == 4 else array
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
