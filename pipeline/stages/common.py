"""What several stages share: errors, scene lists and splits."""

import json
import os
from pathlib import Path

from pipeline import layout
from pipeline.atomic import WriteError
from pipeline.config import Params, ParamsError
from pipeline.readers import READERS
from pipeline.readers.base import ReaderError
from pipeline.scenes.naming import training_rooms, validation_rooms
from pipeline.schemas import ArtifactError


class StageError(Exception):
    """A stage cannot run; the text names the cause and the remedy."""


#: Errors whose text is the whole message; anything else is a bug and keeps its traceback.
USER_ERRORS = (ParamsError, ReaderError, ArtifactError, StageError, WriteError, PermissionError)


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
    """All scenes of the dataset; those of embedded rooms are known before they are made.

    Raises:
        StageError: dataset.scenes names a scene that does not exist.
        ReaderError: the raw folder holds no scenes.
    """
    dataset, rooms = params.dataset, params.rooms
    raw_dir = expand(dataset.raw_dir)
    if rooms is not None:
        known = training_rooms(rooms.n_train)
        known += validation_rooms(rooms.n_train, rooms.n_validation)
    elif dataset.scenes == "all" or raw_dir.is_dir():
        known = READERS[dataset.reader].list_scenes(raw_dir)
    else:
        known = []  # a clone with the artifacts but without the raw data
    if dataset.scenes == "all":
        return sorted(known)
    names = _names(dataset.scenes, "dataset.scenes")
    if known and (unknown := sorted(set(names) - set(known))):
        raise StageError(
            f"dataset.scenes names {unknown[:5]}, but {raw_dir} has {len(known)} scenes: "
            f"{', '.join(sorted(known)[:5])}, ..."
        )
    return names


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
