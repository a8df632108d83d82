"""YAML files as DVC reads them, so that it and this package see the same values."""

import os
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, SequenceNode

#: Columns of a line of a written list.
_WIDTH = 100


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


def replace_lists(text: str, lists: Mapping[str, Sequence[str]]) -> str:
    """A file's text with other lists of names in it, and nothing else changed.

    Args:
        text: YAML, a mapping.
        lists: Dotted key -> names; each key stands in the file with a list of plain names.

    Returns:
        The text; a list that is right already stays as it is written.

    Raises:
        KeyError: a key that is not in the file, or holds no list.
    """
    root = YAML(typ="safe", pure=True).compose(text)
    found = {key: _list_at(root, key) for key in lists}
    # From the end on, so that the places of those before it stay.
    for key, node in sorted(found.items(), key=lambda item: -item[1].start_mark.index):
        if [item.value for item in node.value] == list(lists[key]):
            continue
        # Without quotes, 000.t1 would look like a number.
        names = [f'"{name}"' if "." in name else name for name in lists[key]]
        start, end = node.start_mark, node.end_mark
        if node.flow_style:
            written = _in_brackets(names, start.column, " " * 2 * key.count("."))
        else:
            end = node.value[-1].end_mark  # the list's own mark is that of what follows it
            written = f"\n{' ' * start.column}".join(f"- {name}" for name in names) or "  []"
        text = text[: start.index] + written + text[end.index :]
    return text


def _list_at(root: Any, key: str) -> SequenceNode:
    node = root
    for part in key.split("."):
        pairs = node.value if isinstance(node, MappingNode) else []
        node = {name.value: value for name, value in pairs}.get(part)
    if not isinstance(node, SequenceNode):
        raise KeyError(key)
    return node


def _in_brackets(names: Sequence[str], column: int, indent: str) -> str:
    """A list in flow style, over several lines where one is too short."""
    items = ", ".join(names)
    if column + len(items) + 2 <= _WIDTH:
        return f"[{items}]"
    lines = textwrap.fill(
        f"{items},", _WIDTH, initial_indent=f"{indent}  ", subsequent_indent=f"{indent}  "
    )
    return f"[\n{lines}\n{indent}]"
