"""What is wrong in a params file: key, value and what is allowed, each problem on one line."""

from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

from pydantic import BaseModel, ValidationError

#: Characters of a value, or of the text around it, that a message shows.
_SHOWN = 120


def describe(error: ValidationError, content: object, model: type[BaseModel]) -> list[str]:
    """One line for every key with a problem.

    Args:
        error: From validating `content`.
        content: What the file holds.
        model: Of the whole file.

    Returns:
        Lines such as `seeds: Input should be a valid list (is: 3); needed: what the key is for`.
    """
    if not isinstance(content, Mapping):
        what = "nothing" if content is None else f"no sections but {_short(content)}"
        return [f"(file): holds {what}; needed: {_keys(model)}"]
    # A value that fits none of several types has one problem for each of them.
    texts: dict[str, list[str]] = {}
    meanings: dict[str, str] = {}
    for problem in error.errors():
        place, section = _locate(problem["loc"], content, model)
        key = ".".join(map(str, place)) or "(file)"
        is_field = bool(place) and place[-1] in section.model_fields
        if problem["type"] == "missing":
            text = "missing"
        elif problem["type"] == "extra_forbidden":
            text = f"unknown key (is: {_short(problem['input'])}); known: {_keys(section)}"
        elif problem["type"] == "value_error":
            # Of a whole section: the text names the keys and their values.
            text = problem["msg"].removeprefix("Value error, ")
        else:
            text = f"{problem['msg']} (is: {_short(problem['input'])})"
        if is_field and problem["type"] != "value_error":
            meanings[key] = f"; needed: {_meaning(section, place[-1])}"
        texts.setdefault(key, []).append(text)
    return [f"{key}: {', or: '.join(texts[key])}{meanings.get(key, '')}" for key in texts]


def _locate(
    loc: Iterable[int | str], content: object, model: type[BaseModel]
) -> tuple[list[int | str], type[BaseModel]]:
    """The keys of a problem's place, without pydantic's names of types, and its section."""
    place: list[int | str] = []
    section, inner = model, model
    for part in loc:
        is_field = isinstance(part, str) and part in inner.model_fields
        is_key = isinstance(content, Mapping) and part in content
        is_index = isinstance(content, Sequence) and isinstance(part, int)
        if not (is_field or is_key or is_index):
            continue
        place.append(part)
        content = content[part] if is_key or is_index else None  # type: ignore[index]
        section = inner
        if is_field:
            annotation = inner.model_fields[str(part)].annotation
            inner = next(
                (kind for kind in (annotation, *get_args(annotation)) if _is_model(kind)), inner
            )
    return place, section


def _is_model(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _keys(section: type[BaseModel]) -> str:
    return ", ".join(section.model_fields)


def _meaning(section: type[BaseModel], key: int | str) -> str:
    """What a key is for; of a section its keys."""
    field = section.model_fields[str(key)]
    if field.description is None and _is_model(field.annotation):
        return f"a section with the keys {_keys(field.annotation)}"  # type: ignore[arg-type]
    return field.description or "see docs/params.schema.json"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."
