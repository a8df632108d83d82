"""Frames as rows of the `frames` and `labelled_frames` tables."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from pipeline.geometry.camera import resize_depth, resize_intrinsics
from pipeline.readers.base import Frame
from pipeline.readers.imaging import encode_depth, encode_jpeg, encode_png, resize_color
from pipeline.readers.labels import LabelMap, map_labels

#: Columns of one row, or of one row group.
Row = dict[str, Any]

JPEG_QUALITY = 90


def arrays(frame: Frame, *names: str) -> tuple[np.ndarray, ...]:
    """Arrays of a usable frame, by the names of its attributes."""
    found = tuple(getattr(frame, name) for name in names)
    if any(array is None for array in found):
        raise ValueError(f"frame {frame.frame_id} has status {frame.status} but lacks an array")
    return found


def frame_row(frame: Frame, size: tuple[int, int]) -> Row:
    """One row of the frames table.

    Args:
        frame: A frame at its raw resolutions, usable or not.
        size: Training height and width, pixels.

    Returns:
        Column -> list of one value. Colour is averaged over areas and depth taken at the nearest
        pixel centre; a frame that is skipped keeps its status and reason only.
    """
    row: Row = {
        "frame_id": [frame.frame_id],
        "status": [frame.status],
        "reason": [frame.reason],
        "T_world_camera": [None],
        "K": [None],
        "width": [size[1]],
        "height": [size[0]],
        "depth_valid_fraction": [0.0],
        "color": [None],
        "depth": [None],
    }
    if frame.status != "ok":
        return row
    depth, color, K, T_world_camera = arrays(frame, "depth", "color", "K", "T_world_camera")
    return row | {
        "T_world_camera": [T_world_camera.reshape(-1)],
        "K": [resize_intrinsics(K, depth.shape, size).reshape(-1)],
        "depth_valid_fraction": [np.count_nonzero(depth) / depth.size],
        "color": [encode_jpeg(resize_color(color, size), JPEG_QUALITY)],
        "depth": [encode_depth(resize_depth(depth, size))],
    }


def labelled_row(frame: Frame, size: tuple[int, int], label_map: LabelMap) -> Row:
    """One row of the labelled frames: a frame's row and its label image as classes."""
    label = None
    if frame.label is not None:
        label = encode_png(map_labels(resize_depth(frame.label, size), label_map))
    return {**frame_row(frame, size), "label": [label]}


class FrameLog:
    """What became of the frames that went by.

    Args:
        hashed: attributes of the frames that are part of the hash beside their raw pictures.

    Attributes:
        counts: frames by status.
        reasons: status -> the first reason; of `ok`, the first warning.
        n_warnings: frames that are used with a warning.
    """

    def __init__(self, hashed: tuple[str, ...] = ("T_world_camera", "K")) -> None:
        self._hashed = hashed
        self.counts: Counter[str] = Counter()
        self.reasons: dict[str, str] = {}
        self.n_warnings = 0
        self._sha256 = hashlib.sha256()

    def watch(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """The frames, noted as they go by."""
        for frame in frames:
            self.counts[frame.status] += 1
            if frame.reason:
                self.reasons.setdefault(frame.status, frame.reason)
                self.n_warnings += frame.status == "ok"
            self._sha256.update(f"{frame.frame_id} {frame.status} {frame.source_sha256}\n".encode())
            for name in self._hashed:
                array = getattr(frame, name)
                self._sha256.update(b"" if array is None else array.tobytes())
            yield frame

    @property
    def inputs_sha256(self) -> str:
        """sha256 over ids, statuses, raw pictures and `hashed` of the frames so far."""
        return self._sha256.hexdigest()

    def __str__(self) -> str:
        """`24 frames: 22 ok (1 with a warning: ...), 1 no_depth, 1 no_pose`."""
        parts = []
        for status, count in sorted(
            self.counts.items(), key=lambda item: (item[0] != "ok", -item[1], item[0])
        ):
            parts.append(f"{count} {status}")
            if status == "ok" and self.n_warnings:
                parts[-1] += f" ({self.n_warnings} with a warning, first: {self.reasons['ok']})"
        return f"{self.counts.total()} frames" + (f": {', '.join(parts)}" if parts else "")
