"""Decoding without surprises, area averaging, and the label maps of the papers."""

import struct

import cv2
import numpy as np
import pytest

from pipeline.readers import imaging
from pipeline.readers.labels import SCANNET20_NAMES, class_names, map_labels
from tests.readers import reader_files as files


def test_png_round_trip():
    for picture in (files.color(1), files.label(0), files.depth(0)):
        decode = imaging.decode_color if picture.ndim == 3 else imaging.decode_gray
        np.testing.assert_array_equal(decode(imaging.encode_png(picture)), picture)


def test_jpeg_is_rgb():
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 250
    decoded = imaging.decode_color(imaging.encode_jpeg(red, 95))
    np.testing.assert_allclose(decoded.astype(int), red, atol=4)


def test_rotation_tag_is_ignored():
    """A picture turned by its EXIF tag would no longer lie over its depth."""
    tag = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    data = files.jpeg(files.color(0))
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(tag) + 2) + tag + data[2:]
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape[:2] == (32, 24)
    assert imaging.image_size(data) == (24, 32)
    assert imaging.decode_color(data).shape == (24, 32, 3)


def test_cut_jpeg_with_a_thumbnail():
    """The end marker of a thumbnail inside the header is not the picture's."""
    data, thumbnail = files.jpeg(files.color(0)), files.jpeg(files.color(1))
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail + data[2:]
    assert imaging.decode_color(data).shape == (24, 32, 3)
    with pytest.raises(imaging.ImageError, match="cut"):
        imaging.decode_color(data[:-50])


@pytest.mark.parametrize("cut", [0, 1, 2, 5, 12, 24, 40, 100, 200])
@pytest.mark.parametrize("encode", [files.png, files.jpeg])
def test_cuts(encode, cut):
    with pytest.raises(imaging.ImageError):
        imaging.decode_color(encode(files.color(0))[:cut])


def test_gigantic_header():
    data = bytearray(files.png(files.color(0)))
    data[16:24] = struct.pack(">II", 2**31 - 1, 2**31 - 1)
    with pytest.raises(imaging.ImageError, match="size of 2147483647x2147483647"):
        imaging.decode_color(bytes(data))


def test_shrinking_averages():
    rgb = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    blocks = rgb.reshape(6, 4, 8, 4, 3).mean((1, 3))
    np.testing.assert_allclose(imaging.resize_color(rgb, (6, 8)), blocks, atol=0.51)
    assert imaging.resize_color(rgb, (48, 64)).shape == (48, 64, 3)


def test_scannet20():
    """Spec D.1: {1..12,14,16,24,28,33,34,36,39}, in this order."""
    ids = [*range(1, 13), 14, 16, 24, 28, 33, 34, 36, 39]
    mapped = map_labels(np.arange(70, dtype=np.uint16), "scannet20")
    assert mapped[ids].tolist() == list(range(20))
    assert (np.delete(mapped, ids) == 255).all()
    assert class_names("scannet20") == SCANNET20_NAMES
    assert dict(zip(ids, SCANNET20_NAMES, strict=True))[28] == "shower curtain"


def test_listed_ids():
    label = np.array([[0, 1], [3, 4], [65535, 300]], np.uint16)
    assert map_labels(label, [300, 1, 3]).tolist() == [[255, 1], [2, 255], [255, 0]]
    assert class_names([300, 1, 3]) == ("label 300", "label 1", "label 3")


def test_depth_encoding() -> None:
    depth = np.array([[0, np.nan, np.inf, -1], [0.0004, 1.2345, 65.535, 65.536]], np.float32)
    decoded = imaging.decode_depth(imaging.encode_depth(depth), (2, 4))
    np.testing.assert_array_equal(decoded, np.float32([[0, 0, 0, 0], [0, 1.234, 65.535, 0]]))


def test_depth_of_another_size_is_refused() -> None:
    with pytest.raises(imaging.ImageError, match="12 bytes, not those of 4x2"):
        imaging.decode_depth(bytes(12), (2, 4))


def test_a_large_jpeg_may_be_decoded_smaller() -> None:
    v, u = np.mgrid[:480, :640] / 40
    wave = np.stack([np.sin(u), np.cos(v), np.sin(u + v)], axis=-1)
    jpeg = imaging.encode_jpeg((127 + 100 * wave).astype(np.uint8), 95)
    for at_least, size in [
        ((120, 160), (240, 320)),
        ((60, 80), (120, 160)),
        ((121, 160), (480, 640)),
    ]:
        reduced = imaging.decode_color(jpeg, at_least)
        assert reduced.shape[:2] == size
        averaged = imaging.resize_color(imaging.decode_color(jpeg), size)
        assert np.abs(reduced.astype(int) - averaged).mean() < 2
