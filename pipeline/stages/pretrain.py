"""`pretrain`: artifacts -> pretrained weights of one variant and seed."""

import argparse
import shutil

from safetensors.torch import save_file

from pipeline import layout
from pipeline.atomic import write_json
from pipeline.data.cache import ByteCache
from pipeline.data.pairs import PairBatches
from pipeline.data.store import SceneStore
from pipeline.models.loading import CheckpointError
from pipeline.stages import training_run
from pipeline.stages.common import StageError, read_split
from pipeline.training.checkpoint import Checkpoints, atomic_folder
from pipeline.training.optimisation import TrainingError
from pipeline.training.pretrain import pretrain

ARTIFACTS = ("frames", "voxels", "correspondences", "overlaps")

add_arguments = training_run.add_arguments


def run(args: argparse.Namespace) -> None:
    """Pretrain and store models/DATASET/pretrained/VARIANT-sSEED."""
    params, device = training_run.start(args)
    dataset = params.dataset.name
    used = training_run.used_params(params, "pretrain", args.variant)
    key = training_run.run_key(used, args.seed, training_run.manifests(params, ARTIFACTS))
    scratch = layout.checkpoint_dir("pretrain", dataset, args.variant, args.seed)
    split = read_split(params)
    parts = ("train", "validation") if params.dataset.pretrain_split != "train" else ("train",)
    names = sorted(scene for part in parts for scene in split[part])
    cache, losses = ByteCache(), params.variants[args.variant].losses
    try:
        batches = PairBatches(
            {name: SceneStore(layout.artifacts_dir(dataset), name, cache) for name in names},
            params.pretraining,
            params.geometry.matching,
            args.seed,
            with_voxels="geo" in losses,
        )
        result = pretrain(
            params, args.variant, args.seed, batches, device, Checkpoints(scratch / key)
        )
    except (TrainingError, CheckpointError, ValueError) as error:
        raise StageError(f"pretrain {args.variant} s{args.seed}: {error}") from error
    training_run.check_unchanged(used, "pretrain", args.variant)
    with atomic_folder(layout.pretrained(dataset, args.variant, args.seed)) as folder:
        state = {
            name: tensor.detach().cpu().contiguous()
            for name, tensor in result.model.state_dict().items()
        }
        save_file(state, folder / "model.safetensors")
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
                "n_scenes": len(names),
                "n_pairs": batches.n_pairs,
                "n_redrawn": result.n_redrawn,
                "history": result.history,
            },
        )
    shutil.rmtree(scratch, ignore_errors=True)
