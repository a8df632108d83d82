"""What the second stage goes on from: the networks of a first stage."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pipeline.config import Model
from pipeline.models.loading import CheckpointError, load_strict, part_of, read_pretrained
from pipeline.training.contrastive import ContrastiveModel


@dataclass(frozen=True)
class Start:
    """Trained networks.

    Attributes:
        file: where they come from.
        model: their sizes.
        state: name -> tensor, on the CPU.
    """

    file: Path
    model: Model
    state: Mapping[str, Tensor]


def read_start(folder: Path) -> Start:
    """Read what a pretraining has stored.

    Args:
        folder: holds `model.safetensors` and `metadata.json`.

    Raises:
        NotPretrainedError: it was left out, and so is what goes on from it.
        CheckpointError: missing or unreadable files.
    """
    metadata, state = read_pretrained(folder)
    try:
        # The encoder may be a variant's own; the network's arguments tell.
        model = Model.model_validate(metadata["params"]["model"] | metadata["model"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{folder / 'metadata.json'}: does not say how large the networks are ({error!r}); "
            "pretrain the start again"
        ) from error
    return Start(folder / "model.safetensors", model, state)


def go_on_from(networks: ContrastiveModel, start: Start) -> tuple[str, ...]:
    """Give networks the weights of the start, wherever both have the same part.

    Args:
        networks: of the start's sizes and drawn from the seed; parts that the start does not have
            stay so, and what only the start has is dropped.
        start: its UNet is taken, and its heads, linear layers and 3D network where they are needed.

    Returns:
        Names of the parts that stay as they were drawn, such as `head_view`.

    Raises:
        CheckpointError: GEO is on, but the start has no 3D network; or a part does not fit.

    Source: paper 001 section 3.3 and Table 10.
    """
    drawn = []
    for name, part in networks.named_children():
        state = part_of(start.state, name)
        if state:
            try:
                load_strict(part, state, f"{start.file}: {name}")
            except CheckpointError as error:
                hint = "; `linear` of the variant must be as in the start" * (name == "sparse")
                raise CheckpointError(f"{error}{hint}") from error
        elif name == "sparse":
            raise CheckpointError(
                f"{start.file}: has no 3D network for GEO to go on with; start from a variant "
                "whose losses name geo, or go on with one whose losses do not"
            )
        else:
            drawn.append(name)
    return tuple(drawn)
