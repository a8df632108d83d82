"""Invariants of `frames` and `labelled_frames`: poses, intrinsics, pictures that decode."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeline.readers.base import SKIP_STATUSES, ReaderError
from pipeline.readers.checks import FrameProblem, check_intrinsics, check_pose
from pipeline.readers.imaging import ImageError, decode_color, decode_depth, decode_gray
from pipeline.readers.labels import IGNORE, class_names
from pipeline.reporting.validation.findings import Findings
from pipeline.reporting.validation.scene import StoredScene, frame_groups
from pipeline.reporting.validation.values import numbers

#: Columns that a usable frame fills and a skipped one leaves null.
_ARRAYS = ("T_world_camera", "K", "color", "depth")


def check_frames(scene: StoredScene, found: Findings) -> None:
    """One row per row group, ascending; usable frames are whole, the others say why not."""
    for frame_id, row in _rows(scene, "frames", found):
        for problem in frame_problems(row, _image_size(scene, "frames")):
            found.add(f"frame {frame_id}", problem)


def check_labelled_frames(scene: StoredScene, found: Findings) -> None:
    """As `check_frames`, and labels are classes or ignored."""
    size = _image_size(scene, "labelled_frames")
    n_classes = scene.setting("labelled_frames", "label_map", _n_classes)
    for frame_id, row in _rows(scene, "labelled_frames", found):
        for problem in frame_problems(row, size):
            found.add(f"frame {frame_id}", problem)
        if row["label"] is not None:
            for problem in _label_problems(row["label"], size, n_classes):
                found.add(f"frame {frame_id}", problem)


def _rows(scene: StoredScene, kind: str, found: Findings) -> Iterator[tuple[int, dict[str, Any]]]:
    for frame_id, table in frame_groups(scene, kind, found):
        if table.num_rows > 1:
            found.add(f"frame {frame_id}", f"has {table.num_rows} rows; needed: one")
        yield frame_id, table.slice(0, 1).to_pylist()[0]


def _image_size(scene: StoredScene, kind: str) -> tuple[int, int]:
    height, width = scene.setting(kind, "image_size", lambda text: numbers(json.loads(text), 2))
    return int(height), int(width)


def _n_classes(label_map: str) -> int:
    return len(class_names("scannet20" if label_map == "scannet20" else json.loads(label_map)))


def frame_problems(row: dict[str, Any], size: tuple[int, int]) -> Iterator[str]:
    """What is wrong with one row of a frames table.

    Args:
        row: Column -> value.
        size: Training height and width, pixels.
    """
    if (row["height"], row["width"]) != size:
        yield f"height and width are {row['height']}, {row['width']}; image_size is {list(size)}"
    if not 0 <= row["depth_valid_fraction"] <= 1:
        yield f"depth_valid_fraction must be in [0, 1], is {row['depth_valid_fraction']}"
    present = [name for name in _ARRAYS if row[name] is not None]
    absent = [name for name in _ARRAYS if row[name] is None]
    if row["status"] == "ok":
        if absent:
            yield f"status is ok, but null: {', '.join(absent)}"
        else:
            yield from _array_problems(row, size)
    elif row["status"] not in SKIP_STATUSES:
        yield f"unknown status {row['status']!r}; known: ok, {', '.join(SKIP_STATUSES)}"
    else:
        if not row["reason"]:
            yield f"status is {row['status']}, but the reason is empty"
        if present:
            yield f"status is {row['status']}, but not null: {', '.join(present)}"


def _array_problems(row: dict[str, Any], size: tuple[int, int]) -> Iterator[str]:
    try:
        check_pose(numbers(row["T_world_camera"], 4, 4), "T_world_camera")
    except FrameProblem as problem:
        yield problem.reason
    try:
        check_intrinsics(numbers(row["K"], 3, 3), "K")
    except ReaderError as error:
        yield str(error)
    try:
        shape = decode_color(row["color"]).shape[:2]
        if shape != size:
            yield f"color is {shape[1]}x{shape[0]} pixels; needed: {size[1]}x{size[0]}"
    except ImageError as error:
        yield f"color {error}"
    try:
        decode_depth(row["depth"], size)
    except ImageError as error:
        yield str(error)


def _label_problems(data: bytes, size: tuple[int, int], n_classes: int) -> Iterator[str]:
    try:
        label = decode_gray(data)
    except ImageError as error:
        yield f"label {error}"
        return
    if label.shape != size:
        yield f"label is {label.shape[1]}x{label.shape[0]} pixels; needed: {size[1]}x{size[0]}"
    unknown = np.setdiff1d(label, [*range(n_classes), IGNORE])
    if len(unknown):
        yield f"label has value {unknown[0]}; needed: 0..{n_classes - 1}, or {IGNORE} (ignored)"
