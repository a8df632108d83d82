"""`pretrain`: artifacts -> pretrained weights of one variant and seed."""

import argparse
import os
from pathlib import Path
from typing import Any

from pipeline import layout
from pipeline.atomic import write_json
from pipeline.config import Params
from pipeline.data.cache import ByteCache
from pipeline.data.pairs import PairBatches, WorkerError
from pipeline.data.store import SceneStore
from pipeline.models.loading import CheckpointError
from pipeline.stages import launch, training_run
from pipeline.stages.artifact_check import check_artifacts
from pipeline.stages.common import StageError, read_split
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
    item = (params.dataset.name, args.variant, args.seed)
    target = layout.pretrained(*item)
    if not is_one_of_many():
        check_artifacts(params.dataset.name, ARTIFACTS)
    if params.variants[args.variant].losses and not is_one_of_many():
        plan = launch.plan_launch(args.processes, params.pretraining.accumulation, device)
        if plan.size > 1:
            return _run_all(plan, args, item)
    used = training_run.used_params(params, "pretrain", args.variant)
    key = training_run.run_key(used, args.seed, training_run.inputs("pretrain", params, ARTIFACTS))
    scratch = layout.checkpoint_dir("pretrain", *item)
    checkpoints = Checkpoints(scratch / key)
    title = f"pretrain {args.variant} s{args.seed}"
    with stop_request(is_one_of_many()) as stop, training_run.only_run("pretrain", item):
        try:
            with joined(device) as processes:
                batches = _batches(params, args.variant, args.seed)
                result = pretrain(
                    params, args.variant, args.seed, batches, device, checkpoints, processes, stop
                )
        except Interrupted as stopped:
            if processes.is_main:
                training_run.report_interruption(f"{title} {stopped}", scratch)
            # torchrun takes all but 0 for a crash; `_run_all` sees that there is no result.
            return 0 if is_one_of_many() else os.EX_TEMPFAIL
        except ERRORS as error:
            raise StageError(f"{title}: {error}") from error
        if processes.is_main:
            training_run.check_unchanged(used, "pretrain", args.variant)
            _store(target, result, batches, args, used)
            if not is_one_of_many():
                training_run.discard_checkpoints("pretrain", item)
    return 0


def _run_all(plan: launch.Launch, args: argparse.Namespace, item: training_run.Item) -> int:
    """Pretrain in several processes, of which the first one stores the result."""
    target = layout.pretrained(*item)

    def version() -> int | None:
        return target.stat().st_ino if target.exists() else None

    before = version()
    options = {"variant": args.variant, "seed": args.seed, "device": args.device}
    arguments = [f"--{name}={value}" for name, value in options.items()]
    listened = launch.run(plan, ["pretrain", *arguments])
    if version() == before:
        if not listened:
            scratch = layout.checkpoint_dir("pretrain", *item)
            title = f"pretrain {args.variant} s{args.seed}"
            training_run.report_interruption(f"{title} stopped before it trained", scratch)
        return os.EX_TEMPFAIL
    training_run.discard_checkpoints("pretrain", item)
    return 0


def _batches(params: Params, variant: str, seed: int) -> PairBatches:
    """Batches of the scenes that `dataset.pretrain_split` names."""
    split, cache = read_split(params), ByteCache()
    parts = ("train", "validation") if params.dataset.pretrain_split != "train" else ("train",)
    names = sorted(scene for part in parts for scene in split[part])
    folder = layout.artifacts_dir(params.dataset.name)
    return PairBatches(
        {name: SceneStore(folder, name, cache) for name in names},
        params.pretraining,
        params.geometry.matching,
        seed,
        with_voxels="geo" in params.variants[variant].losses,
    )


def _store(
    target: Path,
    result: Pretrained,
    batches: PairBatches,
    args: argparse.Namespace,
    used: dict[str, Any],
) -> None:
    """Write the weights, and what they come from."""
    losses = used[f"variants.{args.variant}"]["losses"]
    with atomic_folder(target) as folder:
        save_tensors(folder / "model.safetensors", result.model.state_dict())
        write_json(
            folder / "metadata.json",
            {
                "variant": args.variant,
                "seed": args.seed,
                # Without training nothing but the networks' params decides the weights.
                "params": used if losses else {"model": used["model"]},
                "model": result.model.unet.settings,
                "sparse": result.model.sparse and result.model.sparse.settings,
                "losses": losses,
                "steps": result.steps,
                "n_scenes": len(batches.scenes),
                "n_pairs": batches.n_pairs,
                "n_redrawn": result.n_redrawn,
                "history": result.history,
            },
        )
