"""What all stages share: errors, paths and the split."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline import layout
from pipeline.atomic import WriteError
from pipeline.config import Params, ParamsError
from pipeline.readers.base import ReaderError
from pipeline.schemas import ArtifactError
from pipeline.yaml_file import YamlError


class StageError(Exception):
    """A stage cannot run; the text names the cause and the remedy."""


#: Errors whose text is the whole message; anything else is a bug and keeps its traceback.
USER_ERRORS = (
    ParamsError,
    YamlError,
    ReaderError,
    ArtifactError,
    StageError,
    WriteError,
    PermissionError,
)


@contextmanager
def readable_errors() -> Iterator[None]:
    """End the process with the message alone; Snakemake would show where in the code it arose."""
    try:
        yield
    except USER_ERRORS as error:
        sys.exit(f"error: {error}")


def expand(path: str) -> Path:
    """Path with `~` and environment variables expanded."""
    return Path(os.path.expandvars(path)).expanduser()


def read_split(params: Params) -> dict[str, list[str]]:
    """What `write-manifest split` stored; see `scene_lists.resolve_split`.

    Raises:
        StageError: it is missing.
    """
    file = layout.split(params.dataset.name)
    if not file.is_file():
        raise StageError(f"{file}: missing; `snakemake --cores 2 all_artifacts` makes it")
    return json.loads(file.read_text(encoding="utf-8"))
