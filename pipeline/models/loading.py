"""Weights from files: every tensor has to fit, and what does not is named."""

import json
import os
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.models.detectron2_weights import REFUSED, read_detectron2
from pipeline.models.unet import UNet2D

#: torchvision's classifier, which an encoder does not have.
CLASSIFIER = ("fc.weight", "fc.bias")
#: The class or function in torch's refusal of a file.
_TORCH_REFUSES = re.compile(r"GLOBAL (\S+)")
#: At most so many tensors of each kind are named in an error.
NAMED = 20


class CheckpointError(Exception):
    """Weights that cannot be used; the text names the file and the tensors."""


class NotPretrainedError(CheckpointError):
    """A row of the tables has no weights to start from; the text says why."""


def _load_torch(file: Path) -> object:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Torch's text goes on with how to load it all the same, code included.
        found = _TORCH_REFUSES.search(str(error))
        cause = f"{found[1]}, {REFUSED}" if found else "a damaged pickle"
        raise pickle.UnpicklingError(cause) from error


#: Suffix -> what reads the file; all others are read as torch's.
_FORMATS: dict[str, Callable[[Path], object]] = {
    ".safetensors": load_file,
    ".pkl": read_detectron2,
}


def read_content(path: str | os.PathLike[str]) -> object:
    """What a checkpoint holds, on the CPU, without running any code that it may hold.

    Args:
        path: `.safetensors`, `.pkl` of Detectron2 (gets torchvision's names), or any file of
            `torch.save`.

    Raises:
        CheckpointError: missing or unreadable file.
    """
    file = Path(path)
    if not file.is_file():
        raise CheckpointError(f"{file}: no such checkpoint file")
    read = _FORMATS.get(file.suffix, _load_torch)
    try:
        return read(file)
    except Exception as error:  # torch and pickle raise any on damaged bytes
        raise CheckpointError(f"{file}: not a readable checkpoint: {error}") from error


def read_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read a flat state dict, as `read_content` does.

    Returns:
        Name -> tensor.

    Raises:
        CheckpointError: missing or unreadable file, or not a flat dict of tensors.
    """
    state = read_content(path)
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        holds = list(state)[:NAMED] if isinstance(state, Mapping) else type(state).__name__
        raise CheckpointError(
            f"{path}: expected a flat dict of tensors, holds {holds}; "
            "`python -m pipeline convert-checkpoint` reads Pri3D's and MoCo's files"
        )
    return dict(state)


def load_strict(module: nn.Module, state: Mapping[str, Tensor], source: object) -> None:
    """Copy `state` into `module`; every name and shape has to fit.

    Args:
        module: takes the weights; left as it is if they do not fit.
        state: name -> tensor.
        source: where the weights come from, for the error.

    Raises:
        CheckpointError: names the missing, unexpected and misshapen tensors.
    """
    expected = module.state_dict()
    shapes = [
        f"{name} {tuple(state[name].shape)}, needs {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    problems = {
        "missing": [name for name in expected if name not in state],
        "unexpected": [name for name in state if name not in expected],
        "of another shape": shapes,
    }
    lines = [
        f"  {len(names)} {problem}: {'; '.join(names[:NAMED])}{' ...' * (len(names) > NAMED)}"
        for problem, names in problems.items()
        if names
    ]
    if lines:
        name = type(module).__name__
        raise CheckpointError("\n".join([f"{source}: does not fit this {name}; tensors:", *lines]))
    module.load_state_dict(state)


def load_torchvision_encoder(path: str | os.PathLike[str], unet: UNet2D) -> None:
    """Start a UNet's encoder from a ResNet checkpoint of torchvision's or Detectron2's format.

    The classifier is dropped. BatchNorm's batch counters, which checkpoints older than PyTorch
    0.4.1 lack and which have no effect, may be absent. Nothing is downloaded.

    Args:
        path: file with the state dict.
        unet: of the checkpoint's depth and of width 1; its encoder is overwritten.

    Raises:
        CheckpointError: unreadable file, or any tensor missing, unexpected or misshapen.
    """
    counters = {
        name: tensor
        for name, tensor in unet.encoder.state_dict().items()
        if name.endswith(".num_batches_tracked")
    }
    state = {name: tensor for name, tensor in read_state(path).items() if name not in CLASSIFIER}
    load_strict(unet.encoder, counters | state, path)


def read_pretrained(folder: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a pretraining run has stored.

    Args:
        folder: holds `metadata.json` and `model.safetensors`.

    Returns:
        The metadata, and name -> tensor on the CPU.

    Raises:
        NotPretrainedError: the run has noted that there was nothing to pretrain from.
        CheckpointError: missing or unreadable files.
    """
    metadata_file, weights_file = Path(folder) / "metadata.json", Path(folder) / "model.safetensors"
    try:
        metadata = json.loads(metadata_file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{metadata_file}: {error.strerror}; was it pretrained?") from error
    except ValueError as error:
        raise CheckpointError(f"{metadata_file}: is not JSON: {error}; pretrain again") from error
    if "skipped" in metadata:
        raise NotPretrainedError(metadata["skipped"])
    try:
        return metadata, read_state(weights_file)
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}; `dvc checkout {folder}` brings it back from DVC's cache, or pretrain again"
        ) from error


def part_of(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Those tensors of a state that belong to one part of the networks, by their names in it."""
    prefix = f"{name}."
    return {
        key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)
    }


def load_pretrained(folder: str | os.PathLike[str]) -> UNet2D:
    """The 2D UNet of a pretraining run, on the CPU, in eval mode.

    Args:
        folder: holds `model.safetensors`, of which the tensors `unet.*` are taken, and
            `metadata.json`, of which `model` holds the constructor's arguments.

    Raises:
        NotPretrainedError: the run has noted that there was nothing to pretrain from.
        CheckpointError: missing or unreadable files, or tensors that do not fit each other.
    """
    metadata, state = read_pretrained(folder)
    try:
        unet = UNet2D(**metadata["model"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{Path(folder) / 'metadata.json'}: `model` does not hold the arguments of UNet2D: "
            f"{error!r}"
        ) from error
    load_strict(unet, part_of(state, "unet"), Path(folder) / "model.safetensors")
    return unet.eval()
