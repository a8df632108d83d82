"""YAML files as DVC reads them, so that it and this package see the same values."""

import os
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError


class YamlError(Exception):
    """A file that is not YAML; the text names it, the place and what is wrong there."""


def read_yaml(path: str | os.PathLike[str]) -> Any:
    """Plain values of a file: dicts, lists, texts and numbers, never objects of other classes.

    Args:
        path: YAML 1.2 in UTF-8.

    Returns:
        Its content; None of an empty file.

    Raises:
        YamlError: not YAML, or a key given twice, of which other parsers silently take the last.
        OSError: the file cannot be read.
    """
    file = Path(path)
    try:
        return YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        # Of a key that stands twice it shows values that it has not read yet.
        problem = str(error.problem).partition(" with value")[0]
        raise YamlError(f"{file}: not valid YAML: {place}{problem}") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise YamlError(f"{file}: not valid YAML: {error}") from error
