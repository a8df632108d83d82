"""What several stages share: errors, scene lists and splits."""

import os
from pathlib import Path

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


def validation_scenes(params: Params) -> list[str]:
    """Scenes held out from finetuning."""
    if params.rooms is not None:
        return validation_rooms(params.rooms.n_train, params.rooms.n_validation)
    return _names(params.dataset.validation_scenes, "dataset.validation_scenes")


def scene_names(params: Params) -> list[str]:
    """All scenes of the dataset; for embedded rooms known before they are made."""
    if params.rooms is not None:
        return sorted([*training_rooms(params.rooms.n_train), *validation_scenes(params)])
    if params.dataset.scenes == "all":
        return READERS[params.dataset.reader].list_scenes(expand(params.dataset.raw_dir))
    return _names(params.dataset.scenes, "dataset.scenes")
