"""Files of params: which one a run has, and what is wrong with one."""

import os
from pathlib import Path

from pydantic import ValidationError

from pipeline.config.params import Params
from pipeline.params_problems import describe
from pipeline.yaml_file import YamlError, read_yaml

#: Set by the Snakefile to the copy of params.yaml that a run started with.
PARAMS_VARIABLE = "PIPELINE_PARAMS"


class ParamsError(Exception):
    """params.yaml cannot be used; the text names key, value and what is allowed."""


def params_path() -> Path:
    """The params file of this run: $PIPELINE_PARAMS where set, else params.yaml."""
    return Path(os.environ.get(PARAMS_VARIABLE) or "params.yaml")


def load_params(path: str | os.PathLike[str] | None = None) -> Params:
    """Read and validate a params file.

    Args:
        path: The file; by default that of this run (`params_path`).

    Returns:
        The validated params.

    Raises:
        ParamsError: the file is missing, is not YAML, or has a wrong key or value.
    """
    file = Path(path) if path is not None else params_path()
    try:
        content = read_yaml(file)
    except FileNotFoundError as error:
        raise ParamsError(f"{file}: no such file; copy one of presets/ to params.yaml") from error
    except OSError as error:
        raise ParamsError(f"{file}: cannot be read: {error.strerror}") from error
    except YamlError as error:
        raise ParamsError(str(error)) from error
    return parse_params(content, file)


def parse_params(content: object, file: Path) -> Params:
    """Validate what a params file holds.

    Args:
        content: The file's plain values.
        file: Named in messages.

    Raises:
        ParamsError: a wrong key or value.
    """
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        problems = describe(error, content, Params)
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise ParamsError(f"{file}: {len(problems)} problem(s)\n{lines}") from error
