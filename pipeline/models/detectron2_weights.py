"""Detectron2's `.pkl` weights: written, and read without running anything that they may hold.

A pickle names functions, and loading it calls them. Here names of numpy's array machinery are
answered by the small classes below, every other name is refused, and numpy itself sees only bytes,
a plain type of number and a shape.
"""

import io
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

#: What is said of a name that is not admitted.
REFUSED = "which is refused, because it may run any code"
#: Plain numbers; nothing that could hold objects.
_NUMBER = re.compile(r"[|<>=]?([fiu])([1248])|[|]?b1")
#: Detectron2's name of a ResNet in a detector.
_BACKBONE = "backbone.bottom_up."
#: Detectron2 -> torchvision, as tools/convert-torchvision-to-d2.py writes them.
_RENAMED = (
    (r"^stem\.", ""),
    (r"^res([2-5])\.", lambda found: f"layer{int(found[1]) - 1}."),
    (r"\bconv([1-3])\.norm\.", r"bn\1."),
    (r"\bshortcut\.norm\.", "downsample.1."),
    (r"\bshortcut\.", "downsample.0."),
)
#: And back.
_TO_DETECTRON2 = (
    (r"^(?!layer)", "stem."),
    (r"^layer([1-4])\.", lambda found: f"res{int(found[1]) + 1}."),
    (r"\bbn([1-3])\.", r"conv\1.norm."),
    (r"\bdownsample\.1\.", "shortcut.norm."),
    (r"\bdownsample\.0\.", "shortcut."),
)


class _Number:
    """Stands for numpy.dtype."""

    def __init__(self, code: str, *_: object) -> None:
        if not isinstance(code, str) or not _NUMBER.fullmatch(code):
            raise pickle.UnpicklingError(f"an array of {code!r}, which are no plain numbers")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands for numpy.ndarray."""

    values: np.ndarray

    def __init__(self, *arguments: Any) -> None:
        if arguments:  # as `detectron2_bytes` writes them
            shape, code, raw = arguments
            self.fill(raw, _Number(code), shape, "C")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, number, is_fortran, data = state
        # Python 2 wrote bytes as text.
        raw = data.encode("latin1") if isinstance(data, str) else data
        self.fill(raw, number, shape, "F" if is_fortran else "C")

    def fill(self, raw: Any, number: _Number, shape: tuple[int, ...], order: Any) -> "_Array":
        self.values = np.frombuffer(raw, number.dtype).reshape(shape, order=order)
        return self


def _reconstruct(kind: type, *_: object) -> _Array:
    if kind is not _Array:
        raise pickle.UnpicklingError(f"an array of the class {kind!r}")
    return _Array()


def _from_buffer(raw: Any, number: _Number, shape: tuple[int, ...], order: str) -> _Array:
    return _Array().fill(raw, number, shape, order)


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text in {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


#: Name in a pickle -> what answers it. numpy.core became numpy._core in numpy 2.
_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Number,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"{module}.{name}, {REFUSED}")
        return _ADMITTED[module, name]


def read_detectron2(file: Path) -> dict[str, Tensor]:
    """Weights of a ResNet under torchvision's names.

    Args:
        file: `.pkl` of Detectron2's model zoo: `{"model": {name: array}, "__author__": ..., ...}`.
            Of a whole detector the backbone is taken.

    Returns:
        Name -> tensor.

    Raises:
        pickle.UnpicklingError: it holds anything but arrays; names what.
        Exception: any, if it is damaged.
    """
    with file.open("rb") as stream:
        content = _ArraysOnly(stream, encoding="latin1").load()
    arrays = content.get("model") if isinstance(content, dict) else None
    if not isinstance(arrays, dict) or not all(
        isinstance(name, str) and isinstance(array, _Array) and hasattr(array, "values")
        for name, array in arrays.items()
    ):
        raise pickle.UnpicklingError('no Detectron2 weights: {"model": {name: array}}')
    backbone = {name: array for name, array in arrays.items() if name.startswith(_BACKBONE)}
    return {
        _torchvision_name(name.removeprefix(_BACKBONE)): _tensor(array.values)
        for name, array in (backbone or arrays).items()
    }


class _PlainArrays(pickle.Pickler):
    """Arrays by numpy's public name: a pickle of numpy 2 is none for the numpy of that time."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return np.ndarray, (value.shape, value.dtype.str, value.tobytes())
        return NotImplemented


def detectron2_bytes(state: Mapping[str, Tensor], author: str) -> bytes:
    """A ResNet's weights as Detectron2's own tool converts torchvision's.

    Args:
        state: torchvision's name -> tensor.
        author: who made the weights, for Detectron2's log.

    Returns:
        Content of a `.pkl`; `matching_heuristics` has Detectron2 find the place of the names.

    Source: detectron2/tools/convert-torchvision-to-d2.py (spec D.3).
    """
    arrays = {_detectron2_name(name): tensor.numpy() for name, tensor in state.items()}
    content = {"model": arrays, "__author__": author, "matching_heuristics": True}
    stream = io.BytesIO()
    _PlainArrays(stream, protocol=4).dump(content)
    return stream.getvalue()


def _detectron2_name(name: str) -> str:
    for pattern, replacement in _TO_DETECTRON2:
        name = re.sub(pattern, replacement, name)
    return name


def _torchvision_name(name: str) -> str:
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(values.dtype.newbyteorder("="), order="C"))
