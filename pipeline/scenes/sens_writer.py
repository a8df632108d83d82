"""Writing `.sens` files, version 4, as ScanNet ships them."""

import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8, UInt16

from pipeline.atomic import atomic_path
from pipeline.readers.imaging import encode_jpeg
from pipeline.readers.sens import COLOR_CODES, DEPTH_CODES, FRAME, HEADER, IMU, IMU_COUNT, PREFIX

VERSION = 4
SENSOR_NAME = b"StructureSensor"
#: Raw depth units per metre.
DEPTH_SHIFT = 1000.0
JPEG_QUALITY = 92
_GRAVITY = 9.81
#: ScanNet's timestamps are often 0; these count 25 frames of a 30 Hz camera.
_FRAME_US = 833_333


def write_sens(
    path: Path,
    frames: list[tuple[UInt8[np.ndarray, "hc wc 3"], UInt16[np.ndarray, "h w"], np.ndarray]],
    K_color: Float64[np.ndarray, "3 3"],
    K_depth: Float64[np.ndarray, "3 3"],
) -> None:
    """Write a recording atomically.

    Args:
        path: Final file name.
        frames: (colour uint8 (Hc, Wc, 3) RGB, depth uint16 (H, W) in millimetres, T_world_camera
            float64 (4, 4) in metres, all -inf if unknown), at least one.
        K_color: float64 (3, 3), pixels.
        K_depth: float64 (3, 3), pixels.

    Raises:
        OSError: the folder cannot be written to.

    Source: spec pri3d_family.md A.1; ScanNet's SensorData.
    """
    color, depth, _ = frames[0]
    packed = (
        (encode_jpeg(color, JPEG_QUALITY), zlib.compress(depth.astype("<u2").tobytes(), 6), pose)
        for color, depth, pose in frames
    )
    sizes = (color.shape[0], color.shape[1]), (depth.shape[0], depth.shape[1])
    write_packed_sens(path, packed, len(frames), sizes, K_color, K_depth)


def write_packed_sens(
    path: Path,
    frames: Iterable[tuple[bytes, bytes, Float64[np.ndarray, "4 4"]]],
    n_frames: int,
    sizes: tuple[tuple[int, int], tuple[int, int]],
    K_color: Float64[np.ndarray, "3 3"],
    K_depth: Float64[np.ndarray, "3 3"],
) -> None:
    """Write a recording of compressed frames atomically; one frame at a time is in memory.

    Args:
        path: Final file name.
        frames: (colour as JPEG, depth as zlib of little-endian uint16 millimetres, T_world_camera
            as in `write_sens`).
        n_frames: Their number: it stands before them.
        sizes: height, width of colour, and of depth, pixels.
        K_color: float64 (3, 3), pixels.
        K_depth: float64 (3, 3), pixels.

    Raises:
        OSError: the folder cannot be written to.
    """
    (color_height, color_width), (depth_height, depth_width) = sizes
    header = HEADER.pack(
        *_calibration(K_color),
        *_calibration(K_depth),
        COLOR_CODES["jpeg"],
        DEPTH_CODES["zlib"],
        color_width,
        color_height,
        depth_width,
        depth_height,
        DEPTH_SHIFT,
        n_frames,
    )
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(PREFIX.pack(VERSION, len(SENSOR_NAME)) + SENSOR_NAME + header)
        inertia = []
        for number, (jpeg, packed, pose) in enumerate(frames):
            time = number * _FRAME_US
            file.write(FRAME.pack(*pose.reshape(-1), time, time, len(jpeg), len(packed)))
            file.write(jpeg)
            file.write(packed)
            inertia.append(IMU.pack(*_inertia(pose), time))
        file.write(IMU_COUNT.pack(len(inertia)))
        file.writelines(inertia)


def _calibration(K: Float64[np.ndarray, "3 3"]) -> list[float]:
    """4x4 intrinsic and identity extrinsic, row major."""
    intrinsic = np.eye(4)
    intrinsic[:3, :3] = K
    return [*intrinsic.reshape(-1), *np.eye(4).reshape(-1)]


def _inertia(pose: Float64[np.ndarray, "4 4"]) -> list[float]:
    """Rotation rate, acceleration, magnetic field, attitude and gravity of a camera held still."""
    rotation = pose[:3, :3] if np.isfinite(pose).all() else np.eye(3)
    gravity = rotation.T @ [0.0, 0.0, -1.0]
    north = rotation.T @ [0.0, 1.0, 0.0]
    roll = np.arctan2(rotation[2, 1], rotation[2, 2])
    pitch = -np.arcsin(np.clip(rotation[2, 0], -1, 1))
    yaw = np.arctan2(rotation[1, 0], rotation[0, 0])
    return [0.0, 0.0, 0.0, *(gravity * _GRAVITY), *north, roll, pitch, yaw, *gravity]
