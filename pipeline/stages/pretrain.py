"""`pretrain`: artifacts -> pretrained weights of one variant and seed."""

import argparse
import os
from pathlib import Path
from typing import Any

import torch

from pipeline import layout
from pipeline.atomic import write_json
from pipeline.config import Params, params_path
from pipeline.config.pretraining import second_stage_row
from pipeline.data.batch_stream import WorkerError
from pipeline.data.cache import ByteCache
from pipeline.data.pairs import PairBatches
from pipeline.data.single_frames import FrameBatches
from pipeline.data.store import SceneStore
from pipeline.models.loading import CheckpointError, NotPretrainedError
from pipeline.stages import launch, training_run
from pipeline.stages.artifact_check import check_artifacts
from pipeline.stages.common import StageError, read_split
from pipeline.stages.training_run import Item
from pipeline.training.checkpoint import Checkpoints, atomic_folder, save_tensors
from pipeline.training.distributed import LostProcessError, is_one_of_many, joined
from pipeline.training.interruption import Interrupted, stop_request
from pipeline.training.optimisation import TrainingError
from pipeline.training.pretrain import Pretrained, pretrain
from pipeline.training.second_stage import read_start

ARTIFACTS = ("frames", "voxels", "correspondences", "overlaps")
#: What sets are read from, too.
SETS = ("segments", "sets")
#: What stops a training with a text that says why.
ERRORS = (TrainingError, LostProcessError, WorkerError, CheckpointError, ValueError)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command line."""
    training_run.add_arguments(parser)
    parser.add_argument(
        "--start",
        metavar="VARIANT",
        help="second stage: go on from this variant's networks, with the schedule of second_stage",
    )
    parser.add_argument(
        "--processes",
        type=int,
        metavar="N",
        help="processes on each node, which share the parts of a step (default: one per GPU, up "
        "to pretraining.accumulation)",
    )


def run(args: argparse.Namespace) -> int:
    """Pretrain and store models/DATASET/pretrained/VARIANT-sSEED or START_then_VARIANT-sSEED.

    Returns:
        0, or EX_TEMPFAIL where SIGTERM stopped it.
    """
    params, device = training_run.start(args)
    item = _item(params, args)
    if is_one_of_many():
        _train(params, item, device)
        return 0  # torchrun takes all else for a crash; `_launch` sees whether there is a result
    check_artifacts(params.dataset.name, _artifacts(params, item))
    plan = launch.ALONE
    if params.variants[args.variant].losses:
        plan = launch.plan_launch(args.processes, params.pretraining.accumulation, device)
    is_stored = _launch(plan, item, args.device) if plan.size > 1 else _train(params, item, device)
    return 0 if is_stored else os.EX_TEMPFAIL


def _item(params: Params, args: argparse.Namespace) -> Item:
    """What the command line asks for.

    Raises:
        StageError: an unknown variant.
    """
    start, variant = args.start, args.variant
    for name in filter(None, (start, variant)):
        if name not in params.variants:
            known = ", ".join(params.variants)
            raise StageError(f"{params_path()}: no variant {name!r} to pretrain; known: {known}")
    if start is None:
        return Item("pretrain", params.dataset.name, {"variant": variant}, args.seed)
    keys = {"start": start, "variant": variant}
    return Item("continue_pretraining", params.dataset.name, keys, args.seed)


def _row(item: Item) -> str:
    """Name of the result."""
    start, variant = item.keys.get("start"), item.keys["variant"]
    return second_stage_row(start, variant) if start else variant


def _artifacts(params: Params, item: Item) -> tuple[str, ...]:
    """Kinds that are read."""
    needs_sets = params.variants[item.keys["variant"]].sets is not None
    return (*ARTIFACTS, *SETS) if needs_sets else ARTIFACTS


def _launch(plan: launch.Launch, item: Item, device: str) -> bool:
    """Pretrain in several processes, of which the first one stores the result.

    Returns:
        Whether it has.
    """
    target = _target(item)

    def version() -> int | None:
        return target.stat().st_ino if target.exists() else None

    before = version()
    keys = [f"--{key}={value}" for key, value in item.keys.items()]
    listened = launch.run(plan, ["pretrain", *keys, f"--seed={item.seed}", f"--device={device}"])
    is_stored = version() != before
    if is_stored:
        training_run.discard_checkpoints(item)
    elif not listened:
        training_run.report_interruption(item, "stopped before it trained")
    return is_stored


def _train(params: Params, item: Item, device: torch.device) -> bool:
    """Pretrain in this process, perhaps with others; the first one stores the result.

    Returns:
        Whether training came to its end.
    """
    dataset, row, seed = item.dataset, _row(item), item.seed
    used = training_run.used_params(params, item)
    with stop_request(is_one_of_many()) as stop, training_run.only_run(item):
        inputs = [layout.split(dataset)]
        inputs += [layout.manifest(dataset, kind) for kind in _artifacts(params, item)]
        folder = _start_folder(item)
        if folder is not None:
            inputs += [folder / name for name in ("model.safetensors", "metadata.json")]
        checkpoints = Checkpoints(training_run.checkpoint_folder(item, used, inputs))
        try:
            with joined(device) as processes:
                start = None if folder is None else read_start(folder)
                batches = _batches(params, row, seed, is_second_stage=start is not None)
                result = pretrain(
                    params,
                    row,
                    seed,
                    batches,
                    device,
                    checkpoints,
                    processes,
                    stop,
                    start,
                    item.live,
                )
        except NotPretrainedError as reason:
            _store_skipped(item, str(reason), used)
            return True
        except Interrupted as stopped:
            if processes.is_main:
                training_run.report_interruption(item, str(stopped))
            return False
        except ERRORS as error:
            raise StageError(f"{item.name}: {error}") from error
        if processes.is_main:
            training_run.check_unchanged(used, item)
            _store(item, result, batches.counts(), used)
        if not is_one_of_many():
            training_run.discard_checkpoints(item)
    return True


def _target(item: Item) -> Path:
    return layout.pretrained(item.dataset, _row(item), item.seed)


def _start_folder(item: Item) -> Path | None:
    """Where the networks are that the second stage goes on from; None in the first stage."""
    start = item.keys.get("start")
    return layout.pretrained(item.dataset, start, item.seed) if start else None


def _batches(
    params: Params, row: str, seed: int, is_second_stage: bool
) -> PairBatches | FrameBatches:
    """Batches of the scenes that `dataset.pretrain_split` names."""
    split, cache = read_split(params), ByteCache()
    parts = ("train", "validation") if params.dataset.pretrain_split != "train" else ("train",)
    folder = layout.artifacts_dir(params.dataset.name)
    names = sorted(scene for part in parts for scene in split[part])
    scenes = {name: SceneStore(folder, name, cache) for name in names}
    variant, section = params.variant(row), params.for_row(row).pretraining
    if variant.moco:
        return FrameBatches(scenes, variant.moco, section.accumulation, seed)
    return PairBatches(
        scenes,
        section,
        params.geometry.matching,
        seed,
        with_voxels="geo" in variant.losses,
        with_depth="depth" in variant.losses,
        sets=variant.sets,
        is_second_stage=is_second_stage,
    )


def _store_skipped(item: Item, reason: str, used: dict[str, Any]) -> None:
    """Note why there are no weights: the tables show that in the row's place."""
    print(f"{item.name}: {reason}; its cells of the tables will say so", flush=True)
    with atomic_folder(_target(item)) as folder:
        write_json(
            folder / "metadata.json",
            {**item.keys, "seed": item.seed, "params": _model_params(used), "skipped": reason},
        )


def _model_params(used: dict[str, Any]) -> dict[str, Any]:
    """The networks' params, which alone decide weights that were not trained."""
    return {name: used[name] for name in used if name.partition(".")[0] in ("model", "variants")}


def _store(item: Item, result: Pretrained, counts: dict[str, int], used: dict[str, Any]) -> None:
    """Write the weights, and what they come from."""
    losses = used[f"variants.{item.keys['variant']}"]["losses"]
    with atomic_folder(_target(item)) as folder:
        save_tensors(folder / "model.safetensors", result.model.result())
        write_json(
            folder / "metadata.json",
            {
                **item.keys,
                "seed": item.seed,
                "params": used if losses else _model_params(used),
                **result.model.settings(),
                "losses": losses,
                **({"drawn": list(result.drawn)} if "start" in item.keys else {}),
                "steps": result.steps,
                **counts,
                "n_redrawn": result.n_redrawn,
                "history": result.history,
            },
        )
