"""`finetune`: pretrained weights -> all tasks and protocols, metrics and pictures."""

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline import layout
from pipeline.atomic import atomic_path, write_json
from pipeline.config import Params, load_params, params_path
from pipeline.data.batch_stream import WorkerError
from pipeline.data.cache import DEFAULT_LIMIT_BYTES, ByteCache
from pipeline.data.labelled import LabelledFrames, load_labelled
from pipeline.models.loading import CheckpointError, NotPretrainedError, load_pretrained
from pipeline.models.segmentation import NETWORKS
from pipeline.stages import training_run
from pipeline.stages.artifact_check import check_artifacts
from pipeline.stages.common import StageError, read_split
from pipeline.stages.finetune_plan import ALL_CELLS, make_plan, task_names
from pipeline.stages.training_run import Item
from pipeline.training.cell_result import CellResult
from pipeline.training.checkpoint import atomic_folder, save_tensors
from pipeline.training.finetune import Finetuner, finetune, picture_rows
from pipeline.training.interruption import Interrupted, StopRequest, stop_request
from pipeline.training.optimisation import TrainingError

#: In the results of a label fraction: the frames that it trains on.
FRAMES = "training_frames.json"
#: Stages whose weights are stored, unless params discard them.
KEEPING = ("finetune", "finetune_segmentation")
#: Params that decide which cells there are.
WHICH_CELLS = ("finetuning.tasks", "finetuning.protocols")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command line."""
    training_run.add_arguments(parser)
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--segmentation-only", action="store_true", help="segmentation in full, no other cell"
    )
    instead.add_argument(
        "--percent", type=_percent, help="segmentation in full on so many of the labels, 1 to 99"
    )
    instead.add_argument(
        "--network", choices=list(NETWORKS), help="segmentation with this network on the encoder"
    )


def _percent(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 99:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 99")
    return int(text)


def _item(args: argparse.Namespace) -> Item:
    stage, keys = "finetune", {"variant": args.variant}
    if args.segmentation_only:
        stage = "finetune_segmentation"
    if args.percent is not None:
        stage, keys = "finetune_fraction", {**keys, "percent": str(args.percent)}
    if args.network is not None:
        stage, keys = "finetune_network", {**keys, "network": args.network}
    return Item(stage, load_params().dataset.name, keys, args.seed)


def _check_list(params: Params, item: Item) -> None:
    """All cells and segmentation alone are stored in the same place, so a row has one of them.

    Raises:
        StageError: the row stands in the list of the other stage.
    """
    row = item.keys["variant"]
    if item.stage == ALL_CELLS and row in params.segmentation_rows:
        listed, option = "segmentation_rows", " --segmentation-only"
    elif item.stage == "finetune_segmentation" and row in params.rows:
        listed, option = "rows", ""
    else:
        return
    raise StageError(
        f"{params_path()}: {row} stands in {listed}, and its results would be replaced by those of "
        f"another stage; `python -m pipeline finetune --variant {row}{option} --seed {item.seed}` "
        "finetunes it as listed"
    )


def run(args: argparse.Namespace) -> int:
    """Finetune and store results/DATASET/finetune/ITEM and, of all cells, weights in models/.

    Returns:
        0, or EX_TEMPFAIL where SIGTERM stopped it.
    """
    item = _item(args)
    with stop_request() as stop, training_run.only_run(item):
        return _run(args, item, stop)


def _run(args: argparse.Namespace, item: Item, stop: StopRequest) -> int:
    params, device = training_run.start(args)
    _check_list(params, item)
    dataset = params.dataset.name
    used = training_run.used_params(params, item)
    # They say which cells there are, not what one is: finished ones survive another protocol.
    of_cells = {key: used[key] for key in used if key not in WHICH_CELLS}
    pretrained = layout.pretrained(params.pretrained_on, args.variant, args.seed)
    inputs = [
        layout.manifest(dataset, "labelled_frames"),
        layout.split(dataset),
        *(pretrained / name for name in ("model.safetensors", "metadata.json")),
    ]
    check_artifacts(dataset, ["labelled_frames"])
    split = read_split(params)
    training, validation = load_labelled(
        layout.artifacts_dir(dataset),
        [*split["train"], *split["validation"]],
        split["validation"],
        params.labelled.validation_frames,
        # Training and validation have workers of their own, each with a copy.
        ByteCache(DEFAULT_LIMIT_BYTES // max(1, 2 * params.finetuning.workers)),
    )
    plan, cells, settings = None, dict[str, CellResult](), dict[str, object]()
    try:
        unet = load_pretrained(pretrained)
        plan = make_plan(item, params, unet, training, validation, device)
        cells = finetune(
            Finetuner(
                plan.recipe,
                training,
                validation,
                args.seed,
                device,
                item.live,
                params.finetuning.workers,
            ),
            plan.protocols,
            plan.tasks,
            plan.rows,
            training_run.checkpoint_folder(item, of_cells, inputs),
            stop,
        )
        skipped, settings = plan.skipped, unet.settings
    except NotPretrainedError as reason:
        print(f"{item.name}: {reason}; its cells of the tables will say so", flush=True)
        skipped = dict.fromkeys(task_names(item, params), str(reason))
    except Interrupted as stopped:
        training_run.report_interruption(item, str(stopped))
        return os.EX_TEMPFAIL
    except (TrainingError, WorkerError, CheckpointError) as error:
        raise StageError(f"{item.name}: {error}") from error
    training_run.check_unchanged(used, item)
    if item.stage in KEEPING:
        kept = cells if params.finetuning.keep_weights else {}
        _store_weights(layout.finetuned(dataset, item.label, item.seed), kept, settings)
    with atomic_folder(layout.finetune_results(dataset, item.label, item.seed)) as folder:
        metadata = json.loads((pretrained / "metadata.json").read_text())
        write_json(
            folder / "metrics.json",
            {
                **item.keys,
                "seed": args.seed,
                "dataset": dataset,
                "n_train": len(training),
                "n_validation": len(validation),
                "skipped": skipped,
                "pretraining": metadata.get("history", []),
                "cells": {name: cell.metrics for name, cell in cells.items()},
            },
        )
        if item.stage == ALL_CELLS:
            _store_pictures(folder / "pictures.npz", cells, validation)
        if item.stage == "finetune_fraction" and plan is not None:
            drawn = {"percent": args.percent, "by": params.label_fractions.by, "seed": args.seed}
            write_json(folder / FRAMES, {**drawn, **plan.labelled_training(training)})
    training_run.discard_checkpoints(item)
    return 0


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
