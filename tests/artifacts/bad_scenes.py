"""Small good scenes, a recording with its mesh and a posed folder, and ways to spoil them."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.config import Params
from pipeline.geometry.camera import backproject, transform
from pipeline.geometry.mesh import Mesh, write_ply
from pipeline.readers.sens import FRAME, HEADER, IMU, IMU_COUNT, PREFIX
from tests.readers import reader_files as files
from tests.room import small_params

#: A name that a shell, a regular expression and a format string would each misread.
SCENE = "räum 1 $(touch x) 'y' (z) *"
#: Where the scenes are, below a test's folder.
RAW = "rohe Däten"
FRAMES = range(4)

#: Changes the files in a scene's folder.
Damage = Callable[[Path], None]


def _pose(frame_id: int) -> np.ndarray:
    """A camera that moves sideways by less than it sees."""
    pose = files.pose(0)
    pose[0, 3] = 0.05 * frame_id
    return pose


def _mesh() -> Mesh:
    """What frame 0 sees, a triangle a pixel."""
    height, width = files.DEPTH_SIZE
    depth = files.depth(0).astype(np.float32) / np.float32(1000)
    depth[0, :2] = depth[0, 2]
    points = transform(_pose(0), backproject(depth, files.K).reshape(-1, 3))
    corner = np.arange(height * width, dtype=np.int32).reshape(height, width)[:-1, :-1].reshape(-1)
    faces = np.stack([corner, corner + 1, corner + width], axis=1).astype(np.int32)
    return Mesh(points, faces, np.full((len(points), 3), 99, np.uint8))


def write_recording(folder: Path, **changes: object) -> None:
    """`SCENE.sens` and its mesh; `changes` as in `reader_files.sens_bytes`."""
    folder.mkdir(parents=True, exist_ok=True)
    poses = {i: _pose(i) for i in FRAMES} | dict(changes.pop("poses", {}))  # type: ignore[call-overload]
    (folder / f"{SCENE}.sens").write_bytes(files.sens_bytes(4, poses=poses, **changes))  # type: ignore[arg-type]
    write_ply(folder / f"{SCENE}_vh_clean_2.ply", _mesh())


def write_posed_folder(folder: Path) -> None:
    """Pictures, poses and intrinsics; the mesh has to be fused."""
    files.write_folder_scene(folder, "posed_folder", tuple(FRAMES))
    for i in FRAMES:
        (folder / f"pose/{i:06d}.txt").write_text(files.matrix_text(_pose(i)))


def params(raw_dir: Path, reader: str) -> Params:
    """Params for the scenes in `raw_dir`, at their own size."""
    return small_params(
        dataset={
            "raw_dir": str(raw_dir),
            "reader": reader,
            "scenes": "all",
            "validation_scenes": [],
            "frame_stride": 1,
            "image_size": files.DEPTH_SIZE,
        },
        labelled={"raw_dir": str(raw_dir)},
        geometry={
            "voxel_size_m": 0.1,
            "fusion": {"voxel_size_m": 0.1, "min_weight": 1},
            "matching": {"radius_m": 0.1},
        },
    )


def _sens(folder: Path) -> Path:
    return folder / f"{SCENE}.sens"


def _frame_start(data: bytes, frame_id: int) -> int:
    """Offset of a frame's record, from the specification's table (A.1)."""
    place = PREFIX.size + PREFIX.unpack_from(data)[1] + HEADER.size
    for _ in range(frame_id):
        place += FRAME.size + sum(FRAME.unpack_from(data, place)[-2:])
    return place


def cut(frame_id: int, part: str) -> Damage:
    """Cut a recording inside a part of a frame: its record, its colour or its depth."""

    def damage(folder: Path) -> None:
        data = _sens(folder).read_bytes()
        start = _frame_start(data, frame_id)
        color_bytes, depth_bytes = FRAME.unpack_from(data, start)[-2:]
        inside = {"record": 50, "color": FRAME.size + color_bytes // 2}
        inside["depth"] = FRAME.size + color_bytes + depth_bytes // 2
        _sens(folder).write_bytes(data[: start + inside[part]])

    return damage


def cut_sens(n_bytes: int) -> Damage:
    """Keep the first bytes of a recording, or without the last ones."""
    return lambda folder: _sens(folder).write_bytes(_sens(folder).read_bytes()[:n_bytes])


#: Half of the block behind the last frame.
CUT_IMU = cut_sens(-(IMU_COUNT.size + IMU.size) // 2)


def header(field: int, value: object) -> Damage:
    """Write another value into a recording's header; fields counted as in `HEADER`."""

    def damage(folder: Path) -> None:
        data = bytearray(_sens(folder).read_bytes())
        start = PREFIX.size + PREFIX.unpack_from(data)[1]
        fields = list(HEADER.unpack_from(data, start))
        fields[field] = value
        HEADER.pack_into(data, start, *fields)
        _sens(folder).write_bytes(data)

    return damage


def recording(**changes: object) -> Damage:
    """Another recording in its place; see `write_recording`."""
    return lambda folder: write_recording(folder, **changes)


def payloads(color: bytes | None = None, depth: bytes | None = None) -> Damage:
    """Other payloads for frame 1."""
    color = files.jpeg(files.color(1)) if color is None else color
    depth = zlib.compress(files.depth(1).tobytes()) if depth is None else depth
    return recording(payloads={1: (color, depth)})


def hole_of_zeros(folder: Path) -> None:
    """A colour payload of a terabyte, which the file really has."""
    data = bytearray(_sens(folder).read_bytes())
    last = _frame_start(bytes(data), 3)
    struct.pack_into("<Q", data, last + FRAME.size - 16, 1 << 40)
    _sens(folder).write_bytes(data)
    os.truncate(_sens(folder), 1 << 41)


def pose(matrix: np.ndarray) -> Damage:
    """Another pose for frame 1 of a posed folder."""
    return write("pose/000001.txt", files.matrix_text(matrix).encode())


def scaled(scale: float) -> np.ndarray:
    """Frame 1's pose with its rotation scaled."""
    return _pose(1) @ np.diag([scale, scale, scale, 1])


def write(name: str, data: bytes) -> Damage:
    """Write a file of the scene; `{}` in the name stands for the scene."""

    def damage(folder: Path) -> None:
        (folder / name.format(SCENE)).write_bytes(data)

    return damage


def remove(*names: str) -> Damage:
    """Remove files of the scene."""

    def damage(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return damage


def mesh(vertices: np.ndarray | None = None, faces: np.ndarray | None = None) -> Damage:
    """The recording's mesh with other vertices or faces."""

    def damage(folder: Path) -> None:
        good = _mesh()
        rgb = good.rgb if vertices is None else np.zeros(vertices.shape, np.uint8)
        changed = Mesh(
            good.vertices if vertices is None else vertices.astype(np.float32),
            good.faces if faces is None else faces.astype(np.int32),
            rgb,
        )
        write_ply(folder / f"{SCENE}_vh_clean_2.ply", changed)

    return damage


def png_bomb(side: int) -> bytes:
    """A few kilobytes that are a square picture of 16 bits."""
    rows = zlib.compress(bytes((1 + 2 * side) * side), 9)
    chunks = {
        b"IHDR": struct.pack(">II5B", side, side, 16, 0, 0, 0, 0),
        b"IDAT": rows,
        b"IEND": b"",
    }
    out = b"\x89PNG\r\n\x1a\n"
    for kind, content in chunks.items():
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        out += struct.pack(">I", len(content)) + kind + content + checksum
    return out


def flip_middle(data: bytes) -> bytes:
    """The bytes with another one in their middle."""
    place = len(data) // 2
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


def outlier_depth() -> np.ndarray:
    """Depth with a few points 65 m away."""
    depth = files.depth(1)
    depth[3, 3:9] = 65_000
    return depth
