"""Frames as rows of the `frames` and `labelled_frames` tables."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float32

from pipeline.geometry.camera import resize_depth, resize_intrinsics, valid_depth
from pipeline.readers.base import Frame, Scene
from pipeline.readers.imaging import encode_jpeg, encode_png, resize_color
from pipeline.readers.labels import LabelMap, map_labels

#: Columns of one row, or of one row group.
Row = dict[str, Any]

JPEG_QUALITY = 95


def encode_depth(depth: Float32[np.ndarray, "h w"]) -> bytes:
    """Depth as little-endian uint16 millimetres, row major; 0 where invalid or over 65.5 m."""
    millimetres = np.rint(np.where(valid_depth(depth), depth, 0) * 1000)
    return np.where(millimetres > 65535, 0, millimetres).astype("<u2").tobytes()


def decode_depth(data: bytes, size: tuple[int, int]) -> Float32[np.ndarray, "h w"]:
    """Depth float32 (height, width) in metres, 0 invalid; inverse of `encode_depth`."""
    return (np.frombuffer(data, "<u2").astype(np.float32) / np.float32(1000)).reshape(size)


def arrays(frame: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """depth, color, K and T_world_camera of a usable frame."""
    found = (frame.depth, frame.color, frame.K, frame.T_world_camera)
    if any(array is None for array in found):
        raise ValueError(f"frame {frame.frame_id} has status {frame.status} but lacks an array")
    return found  # type: ignore[return-value]


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
    depth, color, K, T_world_camera = arrays(frame)
    return row | {
        "T_world_camera": [T_world_camera.reshape(-1)],
        "K": [resize_intrinsics(K, depth.shape, size).reshape(-1)],
        "depth_valid_fraction": [float(valid_depth(depth).mean())],
        "color": [encode_jpeg(resize_color(color, size), JPEG_QUALITY)],
        "depth": [encode_depth(resize_depth(depth, size))],
    }


def labelled_row(frame: Frame, size: tuple[int, int], label_map: LabelMap) -> Row:
    """One row of the labelled frames: a frame's row and its label image as classes."""
    label = None
    if frame.label is not None:
        label = encode_png(map_labels(resize_depth(frame.label, size), label_map))
    return {**frame_row(frame, size), "label": [label]}


def counted(scene: Scene, counts: Counter[str], reasons: dict[str, str]) -> Iterator[Frame]:
    """A scene's frames; counts each status and keeps its first reason, as they go by."""
    for frame in scene.frames():
        counts[frame.status] += 1
        reasons.setdefault(frame.status, frame.reason)
        yield frame


def describe_counts(counts: Counter[str]) -> str:
    """`24 frames: 22 ok, 1 no_depth, 1 no_pose`."""
    parts = sorted(counts.items(), key=lambda item: (item[0] != "ok", -item[1], item[0]))
    shown = ", ".join(f"{count} {status}" for status, count in parts)
    return f"{counts.total()} frames" + (f": {shown}" if shown else "")
