"""ScanNet's `.sens` files, versions 3 and 4: an index by seeking, one frame decoded at a time.

Little endian. The structs below are the format's only description; scenes/writers.py uses them.

    PREFIX           version, length of the sensor's name
    name             UTF-8
    HEADER           calibration, compression, sizes, depth shift, number of frames
    per frame        FRAME (pose, timestamps, payload sizes), colour payload, depth payload
    IMU_COUNT, IMU   version 4 only; not read here

Source: spec pri3d_family.md A.1; ScanNet's SensReader.
"""

import hashlib
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8, UInt16

from pipeline.readers import imaging
from pipeline.readers.base import ColorSize, Frame, ReaderError
from pipeline.readers.checks import (
    FrameProblem,
    check_intrinsics,
    check_pose,
    check_still_there,
    depth_in_metres,
    pose_warning,
)

PREFIX = struct.Struct("<IQ")
#: Colour intrinsic, colour extrinsic, depth intrinsic, depth extrinsic (each 4x4, row major);
#: colour and depth compression; colour width, height; depth width, height; raw depth units per
#: metre; number of frames.
HEADER = struct.Struct("<64f2i4IfQ")
#: Camera-to-world (4x4, row major); colour and depth timestamp; colour and depth payload bytes.
FRAME = struct.Struct("<16f4Q")
IMU_COUNT = struct.Struct("<Q")
#: Rotation rate, acceleration, magnetic field, attitude, gravity (three each); timestamp.
IMU = struct.Struct("<15dQ")

VERSIONS = (3, 4)
COLOR_CODES = {"raw": 0, "png": 1, "jpeg": 2}
DEPTH_CODES = {"raw": 0, "zlib": 1, "occi": 2}

#: Longer names and recordings (at 30 frames a second: an hour) are taken for damaged headers.
MAX_NAME_BYTES = 4096
MAX_FRAMES = 108_000
#: What a payload may have beyond twice its picture's bytes: headers, thumbnails, colour profiles.
_PAYLOAD_EXTRA_BYTES = 1024**2
#: Raw depth units per metre, from metres to micrometres.
_DEPTH_SHIFTS = (1.0, 1e6)


@dataclass(frozen=True)
class SensFile:
    """Header and index of a `.sens` file.

    Attributes:
        path: the file.
        version: 3 or 4.
        sensor_name: as stored.
        K_color: float64 (3, 3), pixels, at the raw colour size.
        K_depth: float64 (3, 3), pixels, at the raw depth size.
        color_compression: key of COLOR_CODES.
        depth_compression: key of DEPTH_CODES.
        color_size: height, width of the colour pictures.
        depth_size: height, width of the depth.
        depth_shift: raw depth units per metre (ScanNet: 1000).
        n_declared: number of frames that the header announces.
        T_world_camera: float32 (N, 4, 4), poses of the frames that are wholly in the file.
        offset: int64 (N,), first byte of each colour payload; depth follows it.
        color_bytes: int64 (N,), sizes of the colour payloads.
        depth_bytes: int64 (N,), sizes of the depth payloads.
    """

    path: Path
    version: int
    sensor_name: str
    K_color: Float64[np.ndarray, "3 3"]
    K_depth: Float64[np.ndarray, "3 3"]
    color_compression: str
    depth_compression: str
    color_size: tuple[int, int]
    depth_size: tuple[int, int]
    depth_shift: float
    n_declared: int
    T_world_camera: Float32[np.ndarray, "n 4 4"]
    offset: Int64[np.ndarray, " n"]
    color_bytes: Int64[np.ndarray, " n"]
    depth_bytes: Int64[np.ndarray, " n"]

    @property
    def n_frames(self) -> int:
        """Frames that a table lists: the declared ones, or the whole ones and one that is cut.

        The latter if the declared number is implausible, so that a damaged header cannot fill
        the memory with frames that never were.
        """
        n_whole = len(self.offset)
        return self.n_declared if self.n_declared <= MAX_FRAMES else n_whole + 1

    def check_frame(self, frame_id: int) -> Float64[np.ndarray, "4 4"]:
        """Pose of a frame, after the checks that need no payload.

        Raises:
            FrameProblem: cut off, without pose, or without colour or depth.
        """
        where = f"{self.path} frame {frame_id}"
        if frame_id >= len(self.offset):
            raise FrameProblem(
                "truncated",
                f"{where}: the file has {len(self.offset)} whole frames of the "
                f"{self.n_declared} it declares (at most {MAX_FRAMES} are looked for)",
            )
        T_world_camera = check_pose(self.T_world_camera[frame_id], where)
        if not self.depth_bytes[frame_id]:
            raise FrameProblem("no_depth", f"{where}: depth payload is empty")
        if not self.color_bytes[frame_id]:
            raise FrameProblem("no_color", f"{where}: colour payload is empty")
        self._check_payload(int(self.color_bytes[frame_id]), 3, self.color_size, f"{where}: colour")
        self._check_payload(int(self.depth_bytes[frame_id]), 2, self.depth_size, f"{where}: depth")
        return T_world_camera

    def _check_payload(
        self, n_bytes: int, bytes_per_pixel: int, size: tuple[int, int], where: str
    ) -> None:
        """FrameProblem for a payload that must not be read, as it would only fill the memory."""
        most = 2 * bytes_per_pixel * size[0] * size[1] + _PAYLOAD_EXTRA_BYTES
        if n_bytes > most:
            raise FrameProblem(
                "corrupt",
                f"{where} payload has {n_bytes} bytes; {size[1]}x{size[0]} need at most {most}",
            )

    def read_frame(self, frame_id: int, color_size: ColorSize) -> Frame:
        """Read and decode one frame.

        Args:
            frame_id: 0 .. n_frames - 1.
            color_size: see `readers.base.ColorSize`.

        Returns:
            The frame, with status "ok".

        Raises:
            FrameProblem: the frame cannot be used.
        """
        T_world_camera = self.check_frame(frame_id)
        where = f"{self.path} frame {frame_id}"
        color_bytes, depth_bytes = int(self.color_bytes[frame_id]), int(self.depth_bytes[frame_id])
        color_read = 0 if color_size is None else color_bytes
        try:
            with self.path.open("rb", buffering=0) as file:
                start = int(self.offset[frame_id]) + color_bytes - color_read
                payload = os.pread(file.fileno(), color_read + depth_bytes, start)
        except OSError as error:
            check_still_there(self.path)
            raise FrameProblem("corrupt", f"{where}: cannot be read: {error.strerror}") from error
        depth_raw = self._decode_depth(payload[color_read:], where)
        depth = depth_in_metres(depth_raw, self.depth_shift, where)
        color = None
        if color_size is not None:
            color = self._decode_color(payload[:color_read], where, color_size)
        return Frame(
            frame_id,
            "ok",
            pose_warning(T_world_camera, where),
            T_world_camera,
            self.K_depth,
            color,
            depth,
            source_sha256=hashlib.sha256(payload).hexdigest(),
        )

    def _decode_depth(self, payload: bytes, where: str) -> UInt16[np.ndarray, "h w"]:
        n_expected = 2 * self.depth_size[0] * self.depth_size[1]
        if self.depth_compression == "zlib":
            try:
                # One byte more than declared is enough to notice a payload that is too long.
                payload = zlib.decompressobj().decompress(payload, n_expected + 1)
            except zlib.error as error:
                raise FrameProblem("corrupt", f"{where}: depth: {error}") from error
        if len(payload) < n_expected:
            raise FrameProblem(
                "truncated", f"{where}: depth has {len(payload)} of {n_expected} bytes"
            )
        if len(payload) > n_expected:
            raise FrameProblem("wrong_size", f"{where}: depth has more than {n_expected} bytes")
        return np.frombuffer(payload, "<u2").reshape(self.depth_size).astype(np.uint16)

    def _decode_color(
        self, payload: bytes, where: str, wanted: ColorSize
    ) -> UInt8[np.ndarray, "h w 3"]:
        height, width = self.color_size
        if self.color_compression == "raw":
            if len(payload) != height * width * 3:
                raise FrameProblem(
                    "wrong_size",
                    f"{where}: colour has {len(payload)} bytes, not {height * width * 3}",
                )
            return np.frombuffer(payload, np.uint8).reshape(height, width, 3)
        try:
            size = imaging.image_size(payload)
            if size != self.color_size:
                raise FrameProblem(
                    "wrong_size",
                    f"{where}: colour is {size[1]}x{size[0]}, the header says {width}x{height}",
                )
            return imaging.decode_color(payload, None if wanted == "full" else wanted)
        except imaging.ImageError as error:
            status = "truncated" if error.truncated else "corrupt"
            raise FrameProblem(status, f"{where}: colour {error}") from error


def _name_of(codes: dict[str, int], code: int, path: Path, what: str) -> str:
    for name, known in codes.items():
        if known == code:
            return name
    raise ReaderError(f"{path}: {what} compression {code} is unknown; known: {codes}")


def _read_exactly(file: int, n_bytes: int, offset: int, path: Path) -> bytes:
    data = os.pread(file, n_bytes, offset)
    if len(data) < n_bytes:
        raise ReaderError(f"{path}: ends inside its header; copy or download it again")
    return data


def open_sens(path: Path) -> SensFile:
    """Read the header and index all frames without reading a payload.

    Args:
        path: The `.sens` file.

    Returns:
        Header and index; frames that are cut off are not in the index.

    Raises:
        ReaderError: missing, not a `.sens` file of version 3 or 4, a damaged header, or depth in
            the "occi" compression.
    """
    try:
        with path.open("rb", buffering=0) as file:
            return _index(file.fileno(), path)
    except OSError as error:
        raise ReaderError(f"{path}: cannot be read: {error.strerror}") from error


def _index(file: int, path: Path) -> SensFile:
    version, name_bytes = PREFIX.unpack(_read_exactly(file, PREFIX.size, 0, path))
    if version not in VERSIONS or name_bytes > MAX_NAME_BYTES:
        raise ReaderError(f"{path}: not a .sens file of version 3 or 4 (version: {version})")
    name = _read_exactly(file, name_bytes, PREFIX.size, path)
    start = PREFIX.size + name_bytes
    header = HEADER.unpack(_read_exactly(file, HEADER.size, start, path))
    color_intrinsic, _, depth_intrinsic, _ = np.reshape(header[:64], (4, 4, 4))
    color_code, depth_code, color_width, color_height, depth_width, depth_height = header[64:70]
    depth_shift, n_declared = header[70:]
    color_compression = _name_of(COLOR_CODES, color_code, path, "colour")
    depth_compression = _name_of(DEPTH_CODES, depth_code, path, "depth")
    if depth_compression == "occi":
        raise ReaderError(
            f"{path}: depth compression occi needs a closed library (Structure SDK); "
            "convert the file to zlib depth with the tool that recorded it"
        )
    for what, width, height in (
        ("colour", color_width, color_height),
        ("depth", depth_width, depth_height),
    ):
        if not 0 < width * height <= imaging.MAX_PIXELS:
            raise ReaderError(f"{path}: header gives a {what} size of {width}x{height}")
    if not _DEPTH_SHIFTS[0] <= depth_shift <= _DEPTH_SHIFTS[1]:
        raise ReaderError(
            f"{path}: header gives a depth shift of {depth_shift} units per metre (usual: 1000)"
        )
    poses, offset, color_bytes, depth_bytes = _walk(file, start + HEADER.size, n_declared)
    return SensFile(
        path=path,
        version=version,
        sensor_name=name.decode("utf-8", "replace"),
        K_color=check_intrinsics(color_intrinsic, f"{path}: colour intrinsics"),
        K_depth=check_intrinsics(depth_intrinsic, f"{path}: depth intrinsics"),
        color_compression=color_compression,
        depth_compression=depth_compression,
        color_size=(color_height, color_width),
        depth_size=(depth_height, depth_width),
        depth_shift=depth_shift,
        n_declared=n_declared,
        T_world_camera=np.array(poses, np.float32).reshape(-1, 4, 4),
        offset=np.array(offset, np.int64),
        color_bytes=np.array(color_bytes, np.int64),
        depth_bytes=np.array(depth_bytes, np.int64),
    )


def _walk(file: int, position: int, n_declared: int) -> tuple[list, list, list, list]:
    """Poses, payload offsets and payload sizes of the frames that are wholly in the file."""
    poses: list[tuple] = []
    offsets: list[int] = []
    color_sizes: list[int] = []
    depth_sizes: list[int] = []
    file_bytes = os.fstat(file).st_size
    while len(poses) < min(n_declared, MAX_FRAMES):
        record = os.pread(file, FRAME.size, position)
        if len(record) < FRAME.size:
            break
        *pose, _, _, color_bytes, depth_bytes = FRAME.unpack(record)
        position += FRAME.size
        if position + color_bytes + depth_bytes > file_bytes:
            break
        poses.append(tuple(pose))
        offsets.append(position)
        color_sizes.append(color_bytes)
        depth_sizes.append(depth_bytes)
        position += color_bytes + depth_bytes
    return poses, offsets, color_sizes, depth_sizes
