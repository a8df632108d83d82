"""`convert-checkpoint`: weights of other projects -> a pretrained folder; encoders for others."""

import argparse
import io
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.atomic import write_bytes, write_json
from pipeline.digest import hash_file
from pipeline.models.conversion.networks import (
    draw_unet,
    load_encoder,
    load_linear,
    load_pointwise,
    load_sparse,
    load_unet,
)
from pipeline.models.conversion.reading import Weights, read_weights
from pipeline.models.detectron2_weights import detectron2_bytes
from pipeline.models.heads import PlainHead
from pipeline.models.loading import NAMED, CheckpointError
from pipeline.models.sparse_unet import SparseUNet
from pipeline.stages.common import StageError
from pipeline.training.checkpoint import atomic_folder, save_tensors

_DESCRIPTION = """\
Convert a checkpoint; what it is is recognised by the names in it, and no code in it is run.
Every tensor has to fit: those that do not are named, those that are left out are listed.

reads   Pri3D's released checkpoints, with or without optimiser and `module.`
        MoCo's (the query encoder)
        torchvision's ResNets: .pth, .safetensors
        Detectron2's: .pkl (also the backbone of a detector)
        a pretrained folder of this project
writes  by the ending of OUTPUT:
        FOLDER                 model.safetensors and metadata.json, as `pretrain` does
        FILE.pth, .safetensors torchvision's names: for model.init_checkpoint, and other projects
        FILE.pkl               Detectron2's names
"""
_EXAMPLES = """\
A released model of Pri3D as row `view_geo` (params: pretrained_on: pri3d, first_stage: []):
  python -m pipeline convert-checkpoint pri3d_r50.pth models/pri3d/pretrained/view_geo-s0
Its encoder for Mask R-CNN in Detectron2:
  python -m pipeline convert-checkpoint models/pri3d/pretrained/view_geo-s0 view_geo.pkl
MoCo's encoder as the start of a pretraining (params: model.init_checkpoint):
  python -m pipeline convert-checkpoint moco_v2_800ep_pretrain.pth.tar data/raw/moco.pth
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command line."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.add_argument("input", type=Path, metavar="INPUT", help="file, or pretrained folder")
    parser.add_argument(
        "output", type=Path, metavar="OUTPUT", help="folder or file; must not exist"
    )
    parser.add_argument(
        "--decoder-seed",
        type=int,
        metavar="N",
        help="for a FOLDER from an encoder alone: draw the decoder as `pretrain` does with seed N",
    )


def run(args: argparse.Namespace) -> None:
    """Convert and say what was left out.

    Raises:
        StageError: the input cannot be used, or the output exists or has an unknown ending.
    """
    source, target = args.input, args.output
    write = _ENCODER_WRITERS.get(target.suffix)
    if write is None and target.suffix:
        raise StageError(
            f"{target}: unknown ending; a folder has none, a file one of "
            f"{', '.join(_ENCODER_WRITERS)}"
        )
    if target.exists() or target.is_symlink():
        raise StageError(f"{target}: exists; remove it, or choose another name")
    try:
        weights = read_weights(source)
        if write is not None:
            encoder = load_encoder(weights.part("unet.encoder."), source)
            write(target, encoder.state_dict())
            used = {f"unet.encoder.{name}" for name in encoder.state_dict()}
        else:
            networks = _networks(weights, source, args.decoder_seed)
            _write_folder(target, networks, weights, source)
            used = {f"{part}.{name}" for part, net in networks.items() for name in net.state_dict()}
    except CheckpointError as error:
        raise StageError(str(error)) from error
    print(f"{source}: weights of {weights.origin}; wrote {target}")
    unused = (name for name in weights.state if name not in used)
    parts = Counter(".".join(name.split(".")[:2]) for name in (*weights.left_out, *unused))
    if parts:
        print(f"left out: {', '.join(f'{part} ({count})' for part, count in parts.items())}")


def _torchvision_bytes(state: Mapping[str, Tensor]) -> bytes:
    stream = io.BytesIO()
    torch.save(dict(state), stream)
    return stream.getvalue()


#: Ending of a file -> what writes an encoder into it, atomically.
_ENCODER_WRITERS: dict[str, Callable[[Path, Mapping[str, Tensor]], None]] = {
    ".pth": lambda path, state: write_bytes(path, _torchvision_bytes(state)),
    ".safetensors": save_tensors,
    ".pkl": lambda path, state: write_bytes(path, detectron2_bytes(state, "pipeline")),
}


#: Attribute of the pretraining's networks beside the UNet -> what makes it from its tensors.
_PARTS: dict[str, Callable[[Mapping[str, Tensor], object], nn.Module]] = {
    "head_view": load_pointwise,
    "head_depth": load_pointwise,
    "sparse": load_sparse,
    "lin2d": load_linear,
    "lin3d": load_linear,
}


def _networks(weights: Weights, source: Path, decoder_seed: int | None) -> dict[str, nn.Module]:
    """Attribute of the pretraining's networks -> network with the weights of that name.

    Raises:
        CheckpointError: tensors do not fit, or belong to none of them.
        StageError: there is no decoder, and no seed for one.
    """
    if decoder := weights.part("unet.decoder."):
        unet = load_unet(weights.part("unet."), source)
    elif decoder_seed is None:
        raise StageError(
            f"{source}: holds an encoder alone. Write FILE.pth, which model.init_checkpoint takes, "
            "or draw the missing decoder with --decoder-seed N"
        )
    else:
        unet = draw_unet(weights.part("unet.encoder."), source, decoder_seed)
    if decoder and decoder_seed is not None:
        raise StageError(f"{source}: has a decoder; leave out --decoder-seed")
    networks: dict[str, nn.Module] = {"unet": unet}
    for name, load in _PARTS.items():
        if state := weights.part(f"{name}."):
            networks[name] = load(state, source)
    if strangers := [key for key in weights.state if key.partition(".")[0] not in networks]:
        more = " ..." * (len(strangers) > NAMED)
        raise CheckpointError(
            f"{source}: {len(strangers)} tensors of no network that is known here: "
            f"{'; '.join(strangers[:NAMED])}{more}"
        )
    return networks


def _model(networks: Mapping[str, nn.Module]) -> dict[str, object]:
    """What params.yaml's section `model` says of these networks' heads and 3D part.

    A second stage that goes on from them builds networks of that size.
    """
    head, linear, sparse = (networks.get(name) for name in ("head_view", "lin2d", "sparse"))
    values: dict[str, object] = {}
    if isinstance(head, PlainHead):
        values["embedding_dim"] = head.out_channels
    if isinstance(linear, nn.Linear):
        values["linear_dim"] = linear.out_features
        values["linear_layers"] = "two" if "lin3d" in networks else "one"
    if isinstance(sparse, SparseUNet):
        parts = ("planes", "blocks", "stem_channels")
        values |= {f"sparse_{name}": sparse.settings[name] for name in parts}
    return values


def _write_folder(
    target: Path, networks: Mapping[str, nn.Module], weights: Weights, source: Path
) -> None:
    variant, _, seed = target.name.rpartition("-s")
    sparse = networks.get("sparse")
    file = source / "model.safetensors" if source.is_dir() else source
    with atomic_folder(target) as folder:
        save_tensors(
            folder / "model.safetensors",
            {
                f"{part}.{name}": tensor
                for part, network in networks.items()
                for name, tensor in network.state_dict().items()
            },
        )
        write_json(
            folder / "metadata.json",
            {
                "variant": variant or target.name,
                "seed": int(seed) if variant and seed.isdigit() else None,
                "converted": {
                    "file": source.name,
                    "sha256": hash_file(file),
                    "weights_of": weights.origin,
                    "left_out": weights.left_out,
                },
                "params": {"model": _model(networks)},
                "model": networks["unet"].settings,
                "sparse": sparse and sparse.settings,
                "history": [],
            },
        )
