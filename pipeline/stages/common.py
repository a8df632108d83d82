"""What several stages share: errors, scene lists and splits."""

import json
import os
from pathlib import Path

from pipeline import layout
from pipeline.config import Params, ParamsError
from pipeline.readers import READERS
from pipeline.readers.base import ReaderError
from pipeline.scenes.naming import training_rooms, validation_rooms
from pipeline.schemas import ArtifactError


class StageError(Exception):
    """A stage cannot run; the text names the cause and the remedy."""


#: Errors whose text is the whole message; anything else is a bug and keeps its traceback.
USER_ERRORS = (ParamsError, ReaderError, ArtifactError, StageError)


def expand(path: str) -> Path:
    """Path with `~` and environment variables expanded."""
    return Path(os.path.expandvars(path)).expanduser()


def _names(value: str | list[str], what: str) -> list[str]:
    if isinstance(value, list):
        return sorted(value)
    file = expand(value)
    try:
        return sorted(line.strip() for line in file.read_text().splitlines() if line.strip())
    except OSError as error:
        raise StageError(f"{what}: cannot read the scene list {file}: {error.strerror}") from error


def scene_names(params: Params) -> list[str]:
    """All scenes of the dataset; those of embedded rooms are known before they are made."""
    dataset, rooms = params.dataset, params.rooms
    if dataset.scenes != "all":
        return _names(dataset.scenes, "dataset.scenes")
    if rooms is not None:
        return sorted(
            [*training_rooms(rooms.n_train), *validation_rooms(rooms.n_train, rooms.n_validation)]
        )
    return READERS[dataset.reader].list_scenes(expand(dataset.raw_dir))


def resolve_split(params: Params) -> dict[str, list[str]]:
    """Training and validation scenes of the dataset.

    Raises:
        StageError: a validation scene is not a scene of the dataset.
    """
    scenes = scene_names(params)
    validation = _names(params.dataset.validation_scenes, "dataset.validation_scenes")
    if unknown := sorted(set(validation) - set(scenes)):
        raise StageError(
            f"dataset.validation_scenes names {unknown[:5]}, which are not among the "
            f"{len(scenes)} scenes of the dataset; correct the list, or dataset.scenes"
        )
    return {
        "train": [scene for scene in scenes if scene not in validation],
        "validation": validation,
    }


def read_split(params: Params) -> dict[str, list[str]]:
    """What `write-manifest split` stored; see `resolve_split`.

    Raises:
        StageError: it is missing.
    """
    file = layout.split(params.dataset.name)
    if not file.is_file():
        raise StageError(f"{file}: missing; `snakemake --cores 2 all_artifacts` makes it")
    return json.loads(file.read_text(encoding="utf-8"))
