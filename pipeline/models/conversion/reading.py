"""Checkpoints of known origin under this project's names."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from pipeline.models.conversion.pri3d import from_pri3d
from pipeline.models.loading import CLASSIFIER, NAMED, CheckpointError, read_content, read_state

Origin = Literal["pretrained", "pri3d", "moco", "torchvision"]
#: Where trainers keep the weights beside optimiser and epoch: Pri3D, MoCo.
_CONTAINERS = ("model", "state_dict")
_DATA_PARALLEL = "module."
_QUERY = "encoder_q."


@dataclass(frozen=True)
class Weights:
    """Tensors of a checkpoint.

    Attributes:
        origin: whose names the file had; Detectron2's files count as torchvision's.
        state: our name -> tensor; at least `unet.encoder.*`.
        left_out: the file's names of tensors that belong to no network here.
    """

    origin: Origin
    state: dict[str, Tensor]
    left_out: list[str]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Tensors whose names start so, without it."""
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in self.state.items()
            if name.startswith(prefix)
        }


def read_weights(path: str | os.PathLike[str]) -> Weights:
    """Read a checkpoint, recognise its origin by the names in it, and rename its tensors.

    No code that the file may hold is run.

    Args:
        path: A pretrained folder; or a file of Pri3D (`{"model": ..., "optimizer": ...}`), of MoCo
            (`{"state_dict": {"module.encoder_q...": ...}}`), of torchvision (flat; `.safetensors`
            too) or of Detectron2 (`.pkl`).

    Raises:
        CheckpointError: missing or unreadable, or of none of these.
    """
    file = Path(path)
    if file.is_dir():
        return Weights("pretrained", read_state(file / "model.safetensors"), [])
    state = _without_prefix(_unpacked(file), _DATA_PARALLEL)
    for origin, (mark, rename) in _ORIGINS.items():
        if any(name.startswith(mark) for name in state):
            renamed, left_out = rename(state)
            return Weights(origin, renamed, left_out)
    raise CheckpointError(
        f"{file}: no known checkpoint: expected names that start with one of "
        f"{', '.join(mark for mark, _ in _ORIGINS.values())}, has {list(state)[:NAMED]}"
    )


def _unpacked(file: Path) -> dict[str, Tensor]:
    """Weights of a file that may hold them beside other things."""
    content = read_content(file)
    for key in _CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{file}: holds no weights, but {type(content).__name__}")
    if others := [name for name, value in content.items() if not isinstance(value, Tensor)]:
        raise CheckpointError(
            f"{file}: expected tensors, alone or under {' or '.join(_CONTAINERS)}; "
            f"these are none: {others[:NAMED]}"
        )
    return dict(content)


def _without_prefix(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Names without a prefix, if all have it."""
    if not all(name.startswith(prefix) for name in state):
        return dict(state)
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def _from_moco(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The query encoder without its projection `fc`; not the key encoder and the queue.

    Source: Pri3D's downstream/conversion/mocov2_to_pri3d.py, which calls the query encoder
        `backbone`; so it may be a ResNet, as in MoCo, or Pri3D's UNet.
    """
    start = tuple(f"{_QUERY}{part}" for part in ("conv1", "bn1", "layer", "encoder", "decoder"))
    kept = {
        name: f"backbone.{name.removeprefix(_QUERY)}" for name in state if name.startswith(start)
    }
    renamed, _ = from_pri3d({theirs: state[name] for name, theirs in kept.items()})
    return renamed, [name for name in state if name not in kept]


def _from_torchvision(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    return (
        {f"unet.encoder.{name}": value for name, value in state.items() if name not in CLASSIFIER},
        [name for name in CLASSIFIER if name in state],
    )


#: Origin -> start of a name that only its files have, and how they are renamed.
_ORIGINS: dict[
    Origin,
    tuple[str, Callable[[Mapping[str, Tensor]], tuple[dict[str, Tensor], list[str]]]],
] = {
    "moco": (_QUERY, _from_moco),
    "pri3d": ("backbone.", from_pri3d),
    "torchvision": ("conv1.weight", _from_torchvision),
}
