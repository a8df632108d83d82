"""`.sens`: all compressions and versions, truncation at any place, damage of any kind."""

import os
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.readers import READERS
from pipeline.readers.base import SKIP_STATUSES, Frame, ReaderError, Scene
from pipeline.readers.sens import MAX_FRAMES, open_sens
from tests.readers import reader_files as files

READER = READERS["scannet"]
NAME_END = 12 + len("Test ü".encode())
HEADER_BYTES = NAME_END + 256 + 8 + 16 + 4 + 8


def open_scan(tmp_path, data: bytes, stride: int = 1) -> Scene:
    files.write_scan(tmp_path, "s", data)
    return READER.open_scene(tmp_path, "s", stride)


def load(tmp_path, **arguments) -> list[Frame]:
    return list(open_scan(tmp_path, files.sens_bytes(**arguments)).frames())


def statuses(frames: list[Frame]) -> list[str]:
    assert all(frame.status == "ok" or "s.sens frame" in frame.reason for frame in frames)
    return [frame.status for frame in frames]


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("color_code", [0, 1, 2])
@pytest.mark.parametrize("depth_code", [0, 1])
def test_all_compressions(tmp_path, version, color_code, depth_code):
    frames = load(tmp_path, version=version, color_code=color_code, depth_code=depth_code)
    assert [frame.frame_id for frame in frames] == [0, 1, 2, 3]
    for i, frame in enumerate(frames):
        assert frame.status == "ok"
        np.testing.assert_allclose(frame.T_world_camera, files.pose(i), atol=1e-6)
        np.testing.assert_array_equal(frame.K, files.K)
        difference = np.abs(frame.color.astype(int) - files.color(i))
        assert difference.max() <= (12 if color_code == 2 else 0)
        expected = files.depth(i).astype(np.float32) / 1000
        expected[0, :2] = 0
        np.testing.assert_allclose(frame.depth, expected, rtol=1e-6)


def test_header_fields(tmp_path):
    sens = open_sens(files.write_scan(tmp_path, "s", files.sens_bytes(shift=5000.0)))
    assert (sens.version, sens.sensor_name, sens.n_declared) == (4, "Test ü", 4)
    assert (sens.color_size, sens.depth_size) == (files.COLOR_SIZE, files.DEPTH_SIZE)
    assert (sens.color_compression, sens.depth_compression) == ("jpeg", "zlib")
    np.testing.assert_allclose(sens.read_frame(1, "full").depth[1, 0], files.depth(1)[1, 0] / 5000)


def test_stride_and_place_beside_scans(tmp_path):
    data = files.sens_bytes(n_frames=7)
    files.write_scan(tmp_path, "räum 1", data, below_scans=False)
    assert READER.list_scenes(tmp_path) == ["räum 1"]
    scene = READER.open_scene(tmp_path, "räum 1", 3)
    assert [frame.frame_id for frame in scene.frames()] == [0, 3, 6]


def test_index_reads_no_payload(tmp_path):
    """A recording of 16 MB is indexed with little memory."""
    payload = (bytes(500_000), bytes(100))
    data = files.sens_bytes(32, payloads=dict.fromkeys(range(32), payload))
    path = files.write_scan(tmp_path, "s", data)
    tracemalloc.start()
    assert len(open_sens(path).offset) == 32
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_bad_poses(tmp_path):
    lost, reflection, scaled = np.full((4, 4), -np.inf), np.diag([1.0, 1, -1, 1]), 1.5 * np.eye(4)
    projective = np.eye(4)
    projective[3, 0] = 0.1
    nan, far = files.pose(0), files.pose(0)
    nan[1, 1], far[0, 3] = np.nan, 1e30
    nearly = files.pose(1) + np.pad(np.full((3, 3), 2e-4), (0, 1))
    poses = [lost, nan, reflection, scaled, np.zeros((4, 4)), projective, far, nearly]
    frames = load(tmp_path, n_frames=8, poses=dict(enumerate(poses)))
    assert statuses(frames) == ["no_pose"] * 2 + ["bad_pose"] * 5 + ["ok"]


def test_bad_payloads(tmp_path):
    good = (files.jpeg(files.color(0)), zlib.compress(files.depth(0).tobytes()))
    bomb = zlib.compress(bytes(200_000_000), 1)
    noise = bytearray(good[1])
    noise[len(noise) // 2] ^= 0xFF
    payloads = {
        0: (b"", good[1]),
        1: (good[0], b""),
        2: (good[0][:-200], good[1]),
        3: (b"no picture at all", good[1]),
        4: (files.jpeg(files.color(0, (48, 64))), good[1]),
        5: (good[0], good[1][:-20]),
        6: (good[0], bytes(noise)),
        7: (good[0], bomb),
        8: (good[0], zlib.compress(bytes(100))),
        9: (good[0], zlib.compress(bytes(2 * 12 * 16))),
        10: (good[0], zlib.compress(b"\xff" * (2 * 12 * 16))),
    }
    scene = open_scan(tmp_path, files.sens_bytes(11, payloads=payloads))
    tracemalloc.start()
    found = statuses(list(scene.frames()))
    # The bomb itself (200 kB) is read, but not what it would inflate to.
    assert tracemalloc.get_traced_memory()[1] < 3_000_000
    tracemalloc.stop()
    assert found[:6] == ["no_color", "no_depth", "truncated", "corrupt", "wrong_size", "truncated"]
    assert found[6:] == ["corrupt", "wrong_size", "truncated", "no_depth", "no_depth"]


def test_truncation_anywhere(tmp_path):
    """Frames before the cut are whole, those after it are listed, no place of it is an accident."""
    data = files.sens_bytes(n_frames=3)
    frame_ends = [HEADER_BYTES]
    for _ in range(3):
        sizes = struct.unpack_from("<QQ", data, frame_ends[-1] + 80)
        frame_ends.append(frame_ends[-1] + 96 + sum(sizes))
    path = files.write_scan(tmp_path, "s", data)
    cuts = {*range(0, len(data), 29), *frame_ends, *(end - 1 for end in frame_ends)}
    for cut in sorted(cuts):
        path.write_bytes(data[:cut])
        if cut < HEADER_BYTES:
            with pytest.raises(ReaderError, match=r"s\.sens"):
                READER.open_scene(tmp_path, "s", 1)
            continue
        n_whole = sum(cut >= end for end in frame_ends[1:])
        scene = READER.open_scene(tmp_path, "s", 1)
        expected = ["ok"] * n_whole + ["truncated"] * (3 - n_whole)
        assert statuses(list(scene.frames())) == expected, cut


@pytest.mark.parametrize("n_declared", [2**64 - 1, 10**9])
def test_implausible_frame_count(tmp_path, n_declared):
    tracemalloc.start()
    frames = load(tmp_path, n_frames=2, n_declared=n_declared, version=3)
    assert statuses(frames) == ["ok", "ok", "truncated"]
    assert str(n_declared) in frames[2].reason
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_file_of_zeros_behind_a_damaged_frame_count(tmp_path):
    """A hole of a gigabyte reads as ten million frames without payload."""
    path = files.write_scan(tmp_path, "s", files.sens_bytes(2, n_declared=1 << 40, version=3))
    os.truncate(path, 1 << 30)
    tracemalloc.start()
    assert len(open_sens(path).offset) == MAX_FRAMES
    assert tracemalloc.get_traced_memory()[1] < 150_000_000
    tracemalloc.stop()


def test_payload_size_beyond_any_file(tmp_path):
    data = bytearray(files.sens_bytes(2))
    struct.pack_into("<QQ", data, HEADER_BYTES + 80, 2**64 - 1, 2**64 - 1)
    frames = list(open_scan(tmp_path, bytes(data)).frames())
    assert statuses(frames) == ["truncated", "truncated"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"version": 2}, "version: 2"),
        ({"depth_code": 2}, "occi"),
        ({"shift": 0.0}, "depth shift"),
        ({"shift": float("nan")}, "depth shift"),
    ],
)
def test_refused_headers(tmp_path, arguments, message):
    with pytest.raises(ReaderError, match=message):
        open_scan(tmp_path, files.sens_bytes(**arguments))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, 255, "version: 255"),
        (4, 10**6, "not a .sens file"),
        (NAME_END + 256, 7, "colour compression 7"),
        (NAME_END + 260, 9, "depth compression 9"),
        (NAME_END + 264, 2**31, "colour size"),
        (NAME_END + 272, 0, "depth size"),
    ],
)
def test_damaged_headers(tmp_path, place, value, message):
    data = bytearray(files.sens_bytes())
    struct.pack_into("<I", data, place, value)
    with pytest.raises(ReaderError, match=message):
        open_scan(tmp_path, bytes(data))


def test_intrinsics_that_are_none(tmp_path):
    data = bytearray(files.sens_bytes())
    struct.pack_into("<f", data, NAME_END + 128, float("nan"))
    with pytest.raises(ReaderError, match="depth intrinsics"):
        open_scan(tmp_path, bytes(data))


def test_missing_scan(tmp_path):
    with pytest.raises(ReaderError, match=r"expected .*scans/none/none\.sens"):
        READER.open_scene(tmp_path, "none", 1)
    for name in ("..", "a/b", "", "."):
        with pytest.raises(ReaderError, match="no scene name"):
            READER.open_scene(tmp_path, name, 1)


def test_scene_files_need_no_files(tmp_path):
    names = ["s.sens", "s_vh_clean_2.ply", "s_vh_clean_2.labels.ply"]
    planned = READER.scene_files(tmp_path, "s")
    assert planned == [tmp_path / "scans" / "s" / name for name in names]
    files.write_scan(tmp_path, "s", files.sens_bytes())
    assert READER.scene_files(tmp_path, "s") == planned[:1]


TINY = files.sens_bytes(n_frames=2)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    flips=st.lists(st.tuples(st.integers(0, len(TINY) - 1), st.integers(1, 255)), max_size=6),
    cut=st.integers(0, 3 * len(TINY)),
)
def test_damage_is_never_an_accident(tmp_path_factory, flips, cut):
    """Whatever happens to the bytes: ReaderError, or frames with a known status."""
    data = bytearray(TINY)
    for place, mask in flips:
        data[place] ^= mask
    raw = tmp_path_factory.mktemp("raw")
    files.write_scan(raw, "s", bytes(data[:cut]))
    try:
        frames = list(READER.open_scene(raw, "s", 1).frames())
    except ReaderError:
        return
    assert all(frame.status in ("ok", *SKIP_STATUSES) for frame in frames)
