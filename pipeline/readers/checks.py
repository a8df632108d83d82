"""Checks that all readers share: names, calibration, poses and depth."""

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt16

from pipeline.readers.base import ColorSize, Frame, LoadFrame, ReaderError

#: |R R^T - I| of a rotation that is used with a warning, and that is not used; real trackers reach
#: 4e-4 (geometry_reference.md section 2).
ROTATION_WARNING = 1e-2
ROTATION_TOLERANCE = 0.1
#: Cameras further away are taken for damaged files (voxel indices are 32-bit).
MAX_TRANSLATION_M = 1e5
#: Focal lengths outside these are taken for damaged files, or for fractions of the width.
MIN_FOCAL_PX, MAX_FOCAL_PX = 1.0, 1e6
#: More than any matrix is written with; a longer file is none.
_MATRIX_CHARACTERS = 4096
#: Raw depth that means "no measurement" beside 0.
DEPTH_SATURATED = 65535


class FrameProblem(Exception):
    """A frame that cannot be used; becomes `Frame.status` and `Frame.reason`."""

    def __init__(self, status: str, reason: str, missing_file: bool = False):
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.missing_file = missing_file

    @property
    def is_fault(self) -> bool:
        """Whether a file is at fault: a recording loses poses and depth by itself."""
        return self.missing_file or self.status not in ("no_pose", "no_depth")


def skipping(load: Callable[[int, ColorSize], Frame]) -> LoadFrame:
    """`load`, but a FrameProblem becomes a skipped Frame."""

    def load_or_skip(frame_id: int, color_size: ColorSize = "full") -> Frame:
        try:
            return load(frame_id, color_size)
        except FrameProblem as problem:
            return Frame(frame_id, problem.status, problem.reason, None, None, None, None)

    return load_or_skip


def check_still_there(path: Path) -> None:
    """Tell a file that is damaged from one that went away, whose frame must not be skipped.

    Args:
        path: File that was found when its scene was opened and cannot be read now.

    Raises:
        ReaderError: it is gone: moved, deleted, or its disk is no longer mounted.
    """
    if not os.path.lexists(path):
        raise ReaderError(
            f"{path}: was there when its scene was opened, and is gone. Bring the folder back (is "
            "its disk mounted?) and run the same again; the table it was read for is not stored"
        )


def check_scene_name(scene: str) -> str:
    """The name, if it is the name of one folder and nothing else.

    Raises:
        ReaderError: empty, `.` or `..`, or with a path separator: it would leave the raw folder;
            with a leading `-`: an option of a command; with a control character: a second line.
    """
    if scene in ("", ".", "..") or any(character in scene for character in "/\\"):
        raise ReaderError(f"{scene!r} is no scene name: it must name one folder")
    if scene.startswith("-") or any(unicodedata.category(c) == "Cc" for c in scene):
        raise ReaderError(
            f"{scene!r} is no scene name: it must not start with - or hold a control character "
            "(line break, tab, NUL); rename its folder, or leave it out of dataset.scenes"
        )
    return scene


def check_intrinsics(K: Float[np.ndarray, "n n"], where: str) -> Float64[np.ndarray, "3 3"]:
    """The 3x3 intrinsics of a 3x3 or 4x4 calibration matrix.

    Args:
        K: Calibration, pixels.
        where: File (and field) for the message.

    Raises:
        ReaderError: not finite, focal lengths that no camera has, or not a pinhole matrix; a skew,
            too, which back-projection would ignore.
    """
    K = np.array(K[:3, :3], np.float64)
    is_plausible = min(K[0, 0], K[1, 1]) >= MIN_FOCAL_PX and np.abs(K).max() <= MAX_FOCAL_PX
    pinhole = [[K[0, 0], 0, K[0, 2]], [0, K[1, 1], K[1, 2]], [0, 0, 1]]
    if not is_plausible or not np.array_equal(K, pinhole):
        raise ReaderError(
            f"{where}: not the intrinsics of a pinhole camera "
            f"(needed: fx 0 cx / 0 fy cy / 0 0 1, in pixels): {K.tolist()}"
        )
    return K


def check_pose(T_world_camera: Float[np.ndarray, "4 4"], where: str) -> Float64[np.ndarray, "4 4"]:
    """The pose, if it is one.

    Args:
        T_world_camera: Camera-to-world, metres.
        where: File (and frame) for the message.

    Raises:
        FrameProblem: `no_pose` for entries that are not finite (ScanNet marks lost tracking by
            -inf: spec A.1), `bad_pose` for what is not a rigid motion.
    """
    T = np.array(T_world_camera, np.float64)
    if not np.isfinite(T).all():
        raise FrameProblem("no_pose", f"{where}: pose has entries -inf, inf or NaN (tracking lost)")
    if np.abs(T).max() > MAX_TRANSLATION_M:
        raise FrameProblem("bad_pose", f"{where}: pose has entries beyond {MAX_TRANSLATION_M:g} m")
    error = _rotation_error(T)
    if error > ROTATION_TOLERANCE or np.linalg.det(T[:3, :3]) < 0:
        raise FrameProblem(
            "bad_pose", f"{where}: pose is no rotation: |R R^T - I| {error:.3g}, or a reflection"
        )
    if np.abs(T[3] - [0, 0, 0, 1]).max() > ROTATION_WARNING:
        raise FrameProblem("bad_pose", f"{where}: last row of the pose is not 0 0 0 1")
    return T


def pose_warning(T_world_camera: Float64[np.ndarray, "4 4"], where: str) -> str:
    """What is doubtful about a pose that is used all the same; mostly nothing: empty."""
    error = _rotation_error(T_world_camera)
    if error <= ROTATION_WARNING:
        return ""
    return f"{where}: pose is not quite a rotation: |R R^T - I| {error:.3g}; used as it is"


def _rotation_error(T: Float64[np.ndarray, "4 4"]) -> float:
    R = T[:3, :3]
    return float(np.abs(R @ R.T - np.eye(3)).max())


def depth_in_metres(
    depth_raw: UInt16[np.ndarray, "h w"], shift: float, where: str
) -> Float32[np.ndarray, "h w"]:
    """Metres from raw depth; 0 and 65535 become 0.

    Args:
        depth_raw: uint16 (H, W).
        shift: Raw units per metre.
        where: File (and frame) for the message.

    Raises:
        FrameProblem: `no_depth` if no pixel is valid.

    Source: spec A.1 and geometry_reference.md section 2 (65535).
    """
    valid = (depth_raw > 0) & (depth_raw < DEPTH_SATURATED)
    if not valid.any():
        raise FrameProblem("no_depth", f"{where}: depth has no valid pixel (all 0 or 65535)")
    return np.where(valid, depth_raw / np.float32(shift), np.float32(0))


def read_matrix(path: Path, sizes: tuple[int, ...]) -> Float64[np.ndarray, "n n"]:
    """Square matrix from a text file.

    Args:
        path: Text file of whitespace-separated numbers.
        sizes: Numbers of rows that are allowed.

    Raises:
        ValueError: the file cannot be read or holds something else; the text names the file.
        ReaderError: it is gone.
    """
    try:
        with path.open(encoding="utf-8") as file:
            words = file.read(_MATRIX_CHARACTERS).split()
        numbers = np.array([float(word) for word in words])
    except OSError as error:
        check_still_there(path)
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path}: holds something that is no number") from error
    for size in sizes:
        if len(numbers) == size * size:
            return numbers.reshape(size, size)
    wanted = " or ".join(f"{size}x{size}" for size in sizes)
    raise ValueError(f"{path}: needed: {wanted} numbers; found: {len(numbers)}")
