"""Damaged inputs for fuzz_sens.py: small valid files, changed where their formats can hurt.

Damage comes on two levels. Values are changed inside the format (sizes, counts, codes, floats,
chunks with a right checksum, streams that inflate to something else), so that a reader gets past
its first check; then, sometimes, bytes are changed blindly.
"""

import struct
import zlib
from functools import cache

import cv2
import numpy as np

from pipeline.readers.sens import FRAME, HEADER, IMU, IMU_COUNT, PREFIX

COLOR_SIZE, DEPTH_SIZE = (24, 32), (12, 16)
_K = [14.0, 0, 7.5, 0, 0, 14, 5.5, 0, 0, 0, 1, 0, 0, 0, 0, 1]
_UNITY = np.eye(4).reshape(-1).tolist()
_INTEGERS = (0, 1, 2, 3, 7, 127, 128, 255, 256, 4096, 8000, 32767, 65535, 2**20, 2**31 - 1, 2**31)
_LONG = (*_INTEGERS, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
_WORDS = (
    *_LONG,
    "-1",
    "float",
    "double",
    "list",
    "uchar",
    "ushort",
    "vertex",
    "face",
    "x",
    "label",
)
_LINES = ("comment x", "element vertex 0", "element edge 2", "property int vertex_indices")
_LINES += tuple(f"property list uchar float {name}" for name in ("x", "red", "label"))
_LINES += ("property list float double vertex_index", "property double label")
_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e-30, 1e-3, 1e3, 1e9, 1e30, 3e38, -3e38)
_FLOATS += (float("inf"), float("-inf"), float("nan"))


def _chance(rng: np.random.Generator, share: float) -> bool:
    return bool(rng.random() < share)


def _pick(rng: np.random.Generator, values):
    return values[rng.integers(len(values))]


def damage_bytes(rng: np.random.Generator, data: bytes) -> bytes:
    """Flip, overwrite, insert, remove or repeat bytes, or cut the end off."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        place, length = int(rng.integers(len(out) + 1)), int(rng.integers(1, 40))
        match rng.integers(6):
            case 0 if out:
                out[place % len(out)] ^= 1 << int(rng.integers(8))
            case 1:
                out[place : place + length] = rng.bytes(length)
            case 2:
                out[place:place] = rng.bytes(length)
            case 3:
                del out[place : place + length]
            case 4:
                out[place:place] = out[place : place + length]
            case _:
                del out[place:]
    return bytes(out)


@cache
def _rgb(seed: int) -> np.ndarray:
    waves = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return cv2.resize(waves, COLOR_SIZE[::-1], interpolation=cv2.INTER_CUBIC)


@cache
def _encoded(kind: str, seed: int) -> bytes:
    rgb, options = _rgb(seed), []
    if kind == "jpeg":
        options = [cv2.IMWRITE_JPEG_PROGRESSIVE, seed % 2, cv2.IMWRITE_JPEG_RST_INTERVAL, seed % 3]
    picture = {"png": rgb, "gray8": rgb[..., 0], "gray16": rgb[..., 0].astype(np.uint16) * 40}
    picture["alpha16"] = cv2.cvtColor(rgb.astype(np.uint16) * 200, cv2.COLOR_BGR2BGRA)
    suffix = ".jpg" if kind == "jpeg" else ".png"
    return cv2.imencode(suffix, picture.get(kind, rgb), options)[1].tobytes()


@cache
def _bomb(n_bytes: int) -> bytes:
    return zlib.compress(bytes(n_bytes), 9)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(rng: np.random.Generator, kind: str) -> bytes:
    """A PNG whose header, chunks or pixel stream are changed, with right checksums."""
    data, position, chunks = _encoded(kind, int(rng.integers(6))), 8, []
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        chunks.append(
            (data[position + 4 : position + 8], data[position + 8 : position + 8 + length])
        )
        position += length + 12
    width, height, *rest = struct.unpack(">II5B", chunks[0][1])
    pixels = b"".join(content for kind, content in chunks if kind == b"IDAT")
    for _ in range(rng.integers(1, 4)):
        match rng.integers(8):
            case 0:
                width = _pick(rng, _INTEGERS)
            case 1:
                height = _pick(rng, _INTEGERS)
            case 2:
                rest[rng.integers(5)] = int(_pick(rng, (0, 1, 2, 3, 4, 6, 8, 16, 255)))
            case 3:
                pixels = _bomb(1 << int(rng.integers(25)))
            case 4:
                pixels = zlib.compress(damage_bytes(rng, zlib.decompress(_encoded_pixels(kind))))
            case 5:
                name = bytes(_pick(rng, (b"iCCP", b"zTXt", b"iTXt")))
                chunks.insert(1, (name, b"name\0\0" + _bomb(1 << int(rng.integers(27)))))
            case 6:
                name = bytes(
                    _pick(rng, (b"PLTE", b"tRNS", b"gAMA", b"eXIf", b"acTL", b"fcTL", b"fdAT"))
                )
                chunks.insert(
                    int(rng.integers(1, len(chunks))), (name, rng.bytes(rng.integers(60)))
                )
            case _:
                chunks.insert(1, _pick(rng, chunks))
    chunks[0] = (b"IHDR", struct.pack(">II5B", width, height, *rest))
    body = [(kind, pixels if kind == b"IDAT" else content) for kind, content in chunks]
    return data[:8] + b"".join(_chunk(kind, content) for kind, content in body)


def _encoded_pixels(kind: str) -> bytes:
    data = _encoded(kind, 0)
    start = data.index(b"IDAT") + 4
    (length,) = struct.unpack_from(">I", data, start - 8)
    return data[start : start + length]


def jpeg(rng: np.random.Generator) -> bytes:
    """A JPEG with another size or number of components, or with damaged or repeated segments."""
    data = bytearray(_encoded("jpeg", int(rng.integers(6))))
    frame = next(i for i in range(len(data)) if data[i : i + 2] in (b"\xff\xc0", b"\xff\xc2"))
    for _ in range(rng.integers(1, 3)):
        match rng.integers(4):
            case 0:
                struct.pack_into(
                    ">H", data, frame + int(_pick(rng, (2, 5, 7))), rng.integers(65536)
                )
            case 1:
                data[frame + int(rng.integers(1, 19))] = int(
                    _pick(rng, (0, 1, 2, 3, 4, 8, 12, 255))
                )
            case 2:
                scan = data.index(b"\xff\xda")
                data[scan:scan] = data[scan:-2] * int(rng.integers(1, 60))
            case _:
                data = bytearray(damage_bytes(rng, bytes(data)))
                break
    return bytes(data)


def color(rng: np.random.Generator) -> bytes:
    """A colour picture, mostly a damaged one."""
    match rng.integers(5):
        case 0:
            return _encoded(str(_pick(rng, ("jpeg", "png"))), int(rng.integers(6)))
        case 1 | 2:
            return jpeg(rng)
        case 3:
            return png(rng, "png")
        case _:
            return damage_bytes(rng, png(rng, "png") if _chance(rng, 0.5) else jpeg(rng))


def gray(rng: np.random.Generator) -> bytes:
    """A depth or label picture, mostly a damaged one."""
    kind = str(_pick(rng, ("gray8", "gray16", "alpha16", "png")))
    data = png(rng, kind) if _chance(rng, 0.8) else _encoded(kind, 0)
    return damage_bytes(rng, data) if _chance(rng, 0.3) else data


def _depth_payload(rng: np.random.Generator, code: int) -> bytes:
    n_bytes = 2 * DEPTH_SIZE[0] * DEPTH_SIZE[1]
    raw = rng.integers(0, 65536, n_bytes // 2, dtype=np.uint16).tobytes()
    match rng.integers(8):
        case 0:
            raw = raw[: rng.integers(n_bytes)]
        case 1:
            raw = damage_bytes(rng, raw)
        case 2:
            return _bomb(1 << int(rng.integers(27)))
        case 3:
            return damage_bytes(rng, zlib.compress(raw))
        case 4:
            return b""
        case _:
            pass
    return zlib.compress(raw, 1) if code == 1 else raw


def _header(rng: np.random.Generator, n_frames: int) -> tuple[list, int, int]:
    """Header fields and the compressions that the payloads really have."""
    color_code, depth_code = int(_pick(rng, (0, 1, 2, 2))), int(_pick(rng, (0, 1, 1)))
    fields = [*_K, *_UNITY, *_K, *_UNITY, color_code, depth_code]
    fields += [*COLOR_SIZE[::-1], *DEPTH_SIZE[::-1], 1000.0, n_frames]
    if _chance(rng, 0.4):
        place = int(rng.integers(len(fields)) if _chance(rng, 0.3) else rng.integers(64, 72))
        if place < 64 or place == 70:
            fields[place] = float(_pick(rng, _FLOATS))
        elif place < 66:
            fields[place] = int(_pick(rng, (-(2**31), -1, 0, 1, 2, 3, 2**31 - 1)))
        else:
            fields[place] = _pick(rng, _LONG) if place == 71 else min(_pick(rng, _LONG), 2**32 - 1)
    return fields, color_code, depth_code


def _frame(rng: np.random.Generator, color_code: int, depth_code: int) -> bytes:
    pose = list(_UNITY)
    if _chance(rng, 0.2):
        pose[rng.integers(16)] = float(_pick(rng, _FLOATS))
    picture = _rgb(0).tobytes() if color_code == 0 else color(rng)
    depth = _depth_payload(rng, depth_code)
    sizes = [len(picture), len(depth)]
    if _chance(rng, 0.1):
        sizes[rng.integers(2)] = _pick(rng, _LONG)
    return FRAME.pack(*pose, 0, 0, *sizes) + picture + depth


def sens(rng: np.random.Generator) -> bytes:
    """A recording of up to four frames."""
    n_frames = int(rng.integers(5))
    fields, color_code, depth_code = _header(rng, n_frames)
    name = b"sensor \xff"
    version, name_bytes = 4, len(name)
    if _chance(rng, 0.05):
        version = _pick(rng, _INTEGERS)
    if _chance(rng, 0.05):
        name_bytes = _pick(rng, _LONG)
    out = PREFIX.pack(version, name_bytes) + name + HEADER.pack(*fields)
    out += b"".join(_frame(rng, color_code, depth_code) for _ in range(n_frames))
    out += IMU_COUNT.pack(_pick(rng, _LONG)) + IMU.pack(*[0.0] * 15, 0)
    return damage_bytes(rng, out) if _chance(rng, 0.3) else out


def ply(rng: np.random.Generator) -> bytes:
    """A mesh with damaged header lines, counts, indices or bytes."""
    n_vertices, n_faces = int(rng.integers(1, 5)), int(rng.integers(4))
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {n_vertices}"]
    lines += [f"property float {axis}" for axis in "xyz"]
    lines += [f"property uchar {name}" for name in ("red", "green", "blue")]
    lines += ["property ushort label", f"element face {n_faces}"]
    lines += ["property list uchar int vertex_indices", "end_header"]
    for _ in range(rng.integers(4)):
        place = int(rng.integers(len(lines)))
        match rng.integers(10):
            case 0:
                lines.insert(place, str(_pick(rng, lines)))
            case 1:
                del lines[place]
            case 2 | 3 | 4 | 5:
                lines[place] = str(_pick(rng, _LINES))
            case 6 | 7 | 8:
                words = lines[place].split() or ["end_header"]
                words[rng.integers(len(words))] = str(_pick(rng, _WORDS))
                lines[place] = " ".join(words)
            case _:
                lines[place] = damage_bytes(rng, lines[place].encode()).decode("latin-1")
    vertex = [("xyz", "<f4", 3), ("rgb", "u1", 3), ("label", "<u2")]
    vertices, faces = (
        np.zeros(n_vertices, vertex),
        np.zeros(n_faces, [("n", "u1"), ("i", "<i4", 3)]),
    )
    vertices["xyz"] = rng.choice(_FLOATS, (n_vertices, 3))
    faces["n"], faces["i"] = 3, rng.integers(0, n_vertices + _chance(rng, 0.2), (n_faces, 3))
    data = ("\n".join(lines) + "\n").encode("latin-1") + vertices.tobytes() + faces.tobytes()
    data += bytes(200) * _chance(rng, 0.5)  # enough for what the damaged header promises
    return damage_bytes(rng, data) if _chance(rng, 0.3) else data
