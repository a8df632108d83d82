"""Pictures in memory: safe decoding, encoding and resizing. Arrays are RGB, never BGR."""

import struct
import zlib

import cv2
import numpy as np
from jaxtyping import Float32, UInt8, UInt16

from pipeline.geometry.camera import valid_depth

#: Larger pictures are taken for damaged headers: they would only exhaust the memory.
MAX_PIXELS = 64_000_000
#: Larger files are no pictures: 16 bits of three colours for each of these pixels.
MAX_BYTES = 6 * MAX_PIXELS
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_SIGNATURE = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
#: Markers that start a frame header: all of FFC0..FFCF but DHT, JPG and DAC.
_JPEG_FRAME_MARKERS = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


#: Divisor of a JPEG's size -> OpenCV's flag; its names for colour would mean BGR.
_REDUCED_FLAGS = {
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
}


class ImageError(ValueError):
    """Bytes that are no usable picture; `truncated` tells a cut file from a damaged one."""

    def __init__(self, reason: str, truncated: bool = False):
        super().__init__(reason)
        self.truncated = truncated


def image_size(data: bytes) -> tuple[int, int]:
    """Height and width of a JPEG or PNG from its header alone.

    Args:
        data: The file's bytes, or enough of its beginning (24 bytes of a PNG).

    Returns:
        Height and width, pixels.

    Raises:
        ImageError: empty, neither JPEG nor PNG, cut before the size, or implausibly large.
    """
    if not data:
        raise ImageError("is empty", truncated=True)
    if data.startswith(_PNG_SIGNATURE):
        if len(data) < 24:
            raise ImageError("PNG cut inside its header", truncated=True)
        width, height = struct.unpack(">II", data[16:24])
    elif data.startswith(_JPEG_SIGNATURE):
        height, width, _ = _jpeg_header(data)
    else:
        raise ImageError("is neither JPEG nor PNG")
    if not 0 < height * width <= MAX_PIXELS:
        raise ImageError(f"header gives a size of {width}x{height} pixels")
    return height, width


def _jpeg_header(data: bytes) -> tuple[int, int, int]:
    """Height, width and end of the first frame header, walking over the segments before it."""
    position = 2
    while position + 9 <= len(data):
        if data[position] != 0xFF:
            raise ImageError("JPEG with damaged segments")
        marker = data[position + 1]
        if marker == 0xFF:  # padding
            position += 1
            continue
        if marker in _JPEG_FRAME_MARKERS:
            height, width = struct.unpack(">HH", data[position + 5 : position + 9])
            return height, width, position + 9
        (length,) = struct.unpack(">H", data[position + 2 : position + 4])
        position += 2 + max(length, 2)
    raise ImageError("JPEG cut before its image", truncated=True)


def _check_whole(data: bytes) -> None:
    """Raise ImageError for a cut JPEG or PNG, and for damaged PNG chunks.

    OpenCV decodes the rows that a cut file has and says nothing.
    """
    image_size(data)
    if data.startswith(_JPEG_SIGNATURE):
        if data.find(_JPEG_END, _jpeg_header(data)[2]) < 0:
            raise ImageError("JPEG is cut: it has no end marker", truncated=True)
        return
    position, kind = len(_PNG_SIGNATURE), b""
    while kind != b"IEND":
        if position + 12 > len(data):
            raise ImageError("PNG is cut: it has no end chunk", truncated=True)
        (length,) = struct.unpack(">I", data[position : position + 4])
        kind, end = data[position + 4 : position + 8], position + 8 + length
        if end + 4 > len(data):
            raise ImageError("PNG is cut inside a chunk", truncated=True)
        if zlib.crc32(data[position + 4 : end]) != struct.unpack(">I", data[end : end + 4])[0]:
            raise ImageError("PNG chunk fails its checksum")
        position = end + 4


def _decode(data: bytes, flags: int) -> np.ndarray:
    _check_whole(data)
    try:
        # A rotation tag would turn colour against depth.
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ImageError(f"cannot be decoded: {error.err}") from error
    if picture is None:
        raise ImageError("cannot be decoded")
    return picture


def decode_color(
    data: bytes, at_least: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Decode a JPEG or PNG to RGB.

    Args:
        data: The file's bytes.
        at_least: Height and width it will be shrunk to, pixels: a JPEG is decoded at a half, a
            quarter or an eighth of its size if that is still twice this, which saves most of the
            time; None: at its size.

    Raises:
        ImageError: empty, cut, damaged or of another format.

    Source: geometry_reference.md section 6 (51 dB against area averages of the whole picture;
        39 dB if it were decoded at little more than the size wanted).
    """
    flags = cv2.IMREAD_COLOR_RGB
    if at_least is not None and data.startswith(_JPEG_SIGNATURE):
        size = image_size(data)
        for divisor, reduced in _REDUCED_FLAGS.items():
            if all(n >= 2 * divisor * wanted for n, wanted in zip(size, at_least, strict=True)):
                flags |= reduced
                break
    return _decode(data, flags)


def decode_gray(data: bytes) -> UInt16[np.ndarray, "h w"]:
    """Decode a PNG with one channel of 8 or 16 bits (depth, labels) without changing its values.

    Raises:
        ImageError: empty, cut, damaged, or with colour.
    """
    picture = _decode(data, cv2.IMREAD_UNCHANGED)
    if picture.ndim != 2 or picture.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"has values {picture.dtype} {picture.shape}, not one 8 or 16-bit channel")
    return picture.astype(np.uint16)


def encode_jpeg(rgb: UInt8[np.ndarray, "h w 3"], quality: int) -> bytes:
    """Encode RGB as JPEG of the given quality (0..100)."""
    parameters = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), parameters)[1].tobytes()


def encode_png(picture: np.ndarray) -> bytes:
    """Encode uint8 or uint16 (H, W), or uint8 RGB (H, W, 3), as PNG without loss."""
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", picture)[1].tobytes()


def encode_depth(depth: Float32[np.ndarray, "h w"]) -> bytes:
    """Depth as millimetres, each pixel's difference from the one before it, which packs better.

    Args:
        depth: float32 (H, W), metres; 0, NaN or infinite where invalid.

    Returns:
        Little-endian uint16, row major, modulo 65536; invalid and over 65.5 m count as 0.
    """
    millimetres = np.rint(np.where(valid_depth(depth), depth, 0) * 1000).reshape(-1)
    stored = np.where(millimetres > 65535, 0, millimetres).astype(np.uint16)
    return np.diff(stored, prepend=np.uint16(0)).astype("<u2").tobytes()


def decode_depth(data: bytes, size: tuple[int, int]) -> Float32[np.ndarray, "h w"]:
    """Depth float32 (height, width) in metres, 0 invalid; inverse of `encode_depth`.

    Raises:
        ImageError: the data are of another size.
    """
    if len(data) != 2 * size[0] * size[1]:
        raise ImageError(f"depth has {len(data)} bytes, not those of {size[1]}x{size[0]} pixels")
    millimetres = np.cumsum(np.frombuffer(data, "<u2"), dtype=np.uint16).reshape(size)
    return millimetres.astype(np.float32) / np.float32(1000)


def resize_color(
    rgb: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Resize a picture: area averages where it shrinks, bilinear where it grows.

    Args:
        rgb: uint8 (H, W, 3).
        size: New height and width, pixels.

    Returns:
        uint8 (height, width, 3); pixel u of the old picture is at (u + 0.5) s - 0.5.

    Source: Deviation from Pri3D's PIL NEAREST (spec A.7), which aliases (29 dB against area
        averages: geometry_reference.md section 6).
    """
    height, width = size
    shrinks = height <= rgb.shape[0] and width <= rgb.shape[1]
    return cv2.resize(
        rgb, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
