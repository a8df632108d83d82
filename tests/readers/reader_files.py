"""Writes raw folders for the reader tests, from the formats' descriptions, not by our own code."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np

COLOR_SIZE, DEPTH_SIZE = (24, 32), (12, 16)
K = np.array([[14.0, 0, 7.5], [0, 14, 5.5], [0, 0, 1]])


def color(frame_id: int, size: tuple[int, int] = COLOR_SIZE) -> np.ndarray:
    """Smooth RGB picture that differs from frame to frame and between channels."""
    v, u = np.mgrid[: size[0], : size[1]] / size[0]
    red, green = 255 * u / u.max(), 255 * v
    return np.stack([red, green, np.full_like(u, 20 * frame_id % 255)], -1).astype(np.uint8)


def depth(frame_id: int, size: tuple[int, int] = DEPTH_SIZE) -> np.ndarray:
    """Millimetres with both kinds of invalid pixels."""
    values = np.arange(np.prod(size), dtype=np.uint16).reshape(size) + 1000 + frame_id
    values[0, 0], values[0, 1] = 0, 65535
    return values


def pose(frame_id: int) -> np.ndarray:
    """Rotation about x and a translation."""
    c, s = np.cos(0.1 * frame_id), np.sin(0.1 * frame_id)
    return np.array([[1.0, 0, 0, frame_id], [0, c, -s, 2], [0, s, c, 3], [0, 0, 0, 1]])


def png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture if picture.ndim == 2 else picture[..., ::-1])[1].tobytes()


def jpeg(picture: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()


COLOR_ENCODERS = {0: lambda rgb: rgb.tobytes(), 1: png, 2: jpeg}
DEPTH_ENCODERS = {0: lambda d: d.tobytes(), 1: lambda d: zlib.compress(d.tobytes())}


def sens_bytes(
    n_frames: int = 4,
    version: int = 4,
    color_code: int = 2,
    depth_code: int = 1,
    poses: dict[int, np.ndarray] | None = None,
    depths: dict[int, np.ndarray] | None = None,
    payloads: dict[int, tuple[bytes, bytes]] | None = None,
    n_declared: int | None = None,
    shift: float = 1000.0,
) -> bytes:
    """A `.sens` file, field by field as in the specification's table (A.1)."""
    matrix = np.eye(4, dtype="<f4")
    matrix[:3, :3] = K
    name = "Test ü".encode()
    out = struct.pack("<I", version) + struct.pack("<Q", len(name)) + name
    out += matrix.tobytes() + np.eye(4, dtype="<f4").tobytes()
    out += matrix.tobytes() + np.eye(4, dtype="<f4").tobytes()
    out += struct.pack("<i", color_code) + struct.pack("<i", depth_code)
    out += struct.pack("<IIII", COLOR_SIZE[1], COLOR_SIZE[0], DEPTH_SIZE[1], DEPTH_SIZE[0])
    out += struct.pack("<f", shift)
    out += struct.pack("<Q", n_frames if n_declared is None else n_declared)
    for i in range(n_frames):
        encoded = (payloads or {}).get(i) or (
            COLOR_ENCODERS[color_code](color(i)),
            DEPTH_ENCODERS.get(depth_code, DEPTH_ENCODERS[0])((depths or {}).get(i, depth(i))),
        )
        out += (poses or {}).get(i, pose(i)).astype("<f4").tobytes()
        out += struct.pack("<QQ", 0, 0) + struct.pack("<QQ", len(encoded[0]), len(encoded[1]))
        out += encoded[0] + encoded[1]
    if version == 4:
        out += struct.pack("<Q", 1) + struct.pack("<15d", *range(15)) + struct.pack("<Q", 0)
    return out


def write_scan(raw: Path, scene: str, data: bytes, below_scans: bool = True) -> Path:
    folder = (raw / "scans" if below_scans else raw) / scene
    folder.mkdir(parents=True)
    (folder / f"{scene}.sens").write_bytes(data)
    return folder / f"{scene}.sens"


def matrix_text(matrix: np.ndarray) -> str:
    return "\n".join(" ".join(f"{value:.9g}" for value in row) for row in matrix) + "\n"


#: Reader -> (file name of each kind by frame, calibration file, its size).
FOLDER_NAMES = {
    "scannet_exported": ("color/{}.jpg", "depth/{}.png", "pose/{}.txt"),
    "scannet_frames_25k": ("color/{:06d}.jpg", "depth/{:06d}.png", "pose/{:06d}.txt"),
    "posed_folder": ("color/{:06d}.png", "depth/{:06d}.png", "pose/{:06d}.txt"),
    "seven_scenes": ("frame-{:06d}.color.png", "frame-{:06d}.depth.png", "frame-{:06d}.pose.txt"),
}
CALIBRATION = {
    "scannet_exported": ("intrinsic/intrinsic_depth.txt", 4),
    "scannet_frames_25k": ("intrinsics_depth.txt", 4),
    "posed_folder": ("intrinsics.txt", 3),
    "seven_scenes": ("intrinsics.txt", 3),
}
LABELLED = ("scannet_frames_25k", "posed_folder")


def label(frame_id: int) -> np.ndarray:
    return (np.arange(np.prod(COLOR_SIZE)).reshape(COLOR_SIZE) % 41).astype(np.uint8)


def write_folder_scene(scene_dir: Path, reader: str, frame_ids: tuple[int, ...]) -> None:
    """A scene of one of the folder layouts."""
    files: dict[str, bytes] = {}
    color_name, depth_name, pose_name = FOLDER_NAMES[reader]
    for i in frame_ids:
        encode = jpeg if color_name.endswith("jpg") else png
        files[color_name.format(i)] = encode(color(i))
        files[depth_name.format(i)] = png(depth(i))
        files[pose_name.format(i)] = matrix_text(pose(i)).encode()
        if reader in LABELLED:
            files[f"label/{i:06d}.png"] = png(label(i))
    calibration_name, size = CALIBRATION[reader]
    calibration = np.eye(size)
    calibration[:3, :3] = K
    files[calibration_name] = matrix_text(calibration).encode()
    for name, data in files.items():
        path = scene_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
