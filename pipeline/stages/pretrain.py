"""`pretrain`: artifacts -> pretrained weights of one variant and seed."""

import argparse
import os
from pathlib import Path
from typing import Any

import torch

from pipeline import layout
from pipeline.atomic import write_json
from pipeline.config import Params
from pipeline.data.cache import ByteCache
from pipeline.data.pairs import PairBatches, WorkerError
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

ARTIFACTS = ("frames", "voxels", "correspondences", "overlaps")
#: What stops a training with a text that says why.
ERRORS = (TrainingError, LostProcessError, WorkerError, CheckpointError, ValueError)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command line."""
    training_run.add_arguments(parser)
    parser.add_argument(
        "--processes",
        type=int,
        metavar="N",
        help="processes on each node, which share the parts of a step (default: one per GPU, up "
        "to pretraining.accumulation)",
    )


def run(args: argparse.Namespace) -> int:
    """Pretrain and store models/DATASET/pretrained/VARIANT-sSEED.

    Returns:
        0, or EX_TEMPFAIL where SIGTERM stopped it.
    """
    params, device = training_run.start(args)
    item = Item("pretrain", params.dataset.name, {"variant": args.variant}, args.seed)
    if is_one_of_many():
        _train(params, item, device)
        return 0  # torchrun takes all else for a crash; `_launch` sees whether there is a result
    check_artifacts(params.dataset.name, ARTIFACTS)
    plan = launch.ALONE
    if params.variants[args.variant].losses:
        plan = launch.plan_launch(args.processes, params.pretraining.accumulation, device)
    is_stored = _launch(plan, item, args.device) if plan.size > 1 else _train(params, item, device)
    return 0 if is_stored else os.EX_TEMPFAIL


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
    dataset, variant, seed = item.dataset, item.keys["variant"], item.seed
    used = training_run.used_params(params, item)
    with stop_request(is_one_of_many()) as stop, training_run.only_run(item):
        manifests = [layout.split(dataset), *(layout.manifest(dataset, k) for k in ARTIFACTS)]
        checkpoints = Checkpoints(training_run.checkpoint_folder(item, used, manifests))
        try:
            with joined(device) as processes:
                batches = _batches(params, variant, seed)
                result = pretrain(
                    params, variant, seed, batches, device, checkpoints, processes, stop
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
            _store(item, result, batches, used)
        if not is_one_of_many():
            training_run.discard_checkpoints(item)
    return True


def _target(item: Item) -> Path:
    return layout.pretrained(item.dataset, item.label, item.seed)


def _batches(params: Params, variant: str, seed: int) -> PairBatches:
    """Batches of the scenes that `dataset.pretrain_split` names."""
    split, cache = read_split(params), ByteCache()
    parts = ("train", "validation") if params.dataset.pretrain_split != "train" else ("train",)
    names = sorted(scene for part in parts for scene in split[part])
    folder = layout.artifacts_dir(params.dataset.name)
    losses = params.variant(variant).losses
    return PairBatches(
        {name: SceneStore(folder, name, cache) for name in names},
        params.for_row(variant).pretraining,
        params.geometry.matching,
        seed,
        with_voxels="geo" in losses,
        with_depth="depth" in losses,
    )


def _store_skipped(item: Item, reason: str, used: dict[str, Any]) -> None:
    """Note why there are no weights: the tables show that in the row's place."""
    print(f"{item.name}: {reason}; its cells of the tables will say so", flush=True)
    with atomic_folder(_target(item)) as folder:
        write_json(
            folder / "metadata.json",
            {**item.keys, "seed": item.seed, "params": {"model": used["model"]}, "skipped": reason},
        )


def _store(item: Item, result: Pretrained, batches: PairBatches, used: dict[str, Any]) -> None:
    """Write the weights, and what they come from."""
    variant = item.keys["variant"]
    losses = used[f"variants.{variant}"]["losses"]
    with atomic_folder(_target(item)) as folder:
        save_tensors(folder / "model.safetensors", result.model.state_dict())
        write_json(
            folder / "metadata.json",
            {
                "variant": variant,
                "seed": item.seed,
                # Without training nothing but the networks' params decides the weights.
                "params": used if losses else {"model": used["model"]},
                **result.model.settings(),
                "losses": losses,
                "steps": result.steps,
                "n_scenes": len(batches.scenes),
                "n_pairs": batches.n_pairs,
                "n_redrawn": result.n_redrawn,
                "history": result.history,
            },
        )
