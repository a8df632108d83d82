"""The folder layouts: equal scenes from all of them, and every way a file can be missing or bad."""

import numpy as np
import pytest

from pipeline.geometry.mesh import Mesh, write_ply
from pipeline.readers import READERS
from pipeline.readers.base import ReaderError
from tests.readers import reader_files as files

LAYOUTS = sorted(files.FOLDER_NAMES)


@pytest.fixture(params=LAYOUTS)
def raw(request, tmp_path):
    """Raw folder with the scene `räum 1` of five frames, and the layout's name."""
    files.write_folder_scene(tmp_path / "räum 1", request.param, (0, 1, 2, 5, 10))
    return tmp_path, request.param


def path_of(raw, kind: int, frame_id: int):
    """File of a frame; kind 0 colour, 1 depth, 2 pose."""
    folder, reader = raw
    return folder / "räum 1" / files.FOLDER_NAMES[reader][kind].format(frame_id)


def frames_of(raw, stride: int = 1):
    folder, reader = raw
    scene = READERS[reader].open_scene(folder, "räum 1", stride)
    return {frame.frame_id: frame for frame in scene.frames()}


def only_skipped(raw, frame_id: int):
    """The one skipped frame, after checking that all others are whole and their own."""
    frames = frames_of(raw)
    for i, frame in frames.items():
        if i != frame_id:
            assert frame.status == "ok"
            assert frame.depth[1, 0] == pytest.approx(files.depth(i)[1, 0] / 1000)
            np.testing.assert_allclose(frame.T_world_camera, files.pose(i), atol=1e-8)
    skipped = frames[frame_id]
    assert skipped.depth is None
    assert str(frame_id) in skipped.reason
    return skipped


def test_whole_scene(raw):
    folder, reader = raw
    assert READERS[reader].list_scenes(folder) == ["räum 1"]
    frames = frames_of(raw)
    assert list(frames) == [0, 1, 2, 5, 10]  # by number, not by text
    for i, frame in frames.items():
        assert frame.status == "ok", frame.reason
        np.testing.assert_allclose(frame.T_world_camera, files.pose(i), atol=1e-8)
        np.testing.assert_array_equal(frame.K, files.K)
        np.testing.assert_allclose(frame.color.astype(int), files.color(i), atol=12)
        expected = files.depth(i).astype(np.float32) / 1000
        expected[0, :2] = 0
        np.testing.assert_allclose(frame.depth, expected, rtol=1e-6)
        if reader in files.LABELLED:
            np.testing.assert_array_equal(frame.label, files.label(i))
        else:
            assert frame.label is None


def test_stride(raw):
    assert list(frames_of(raw, 2)) == [0, 2, 10]


@pytest.mark.parametrize(("kind", "status"), [(0, "no_color"), (1, "no_depth"), (2, "no_pose")])
def test_missing_file_shifts_nothing(raw, kind, status):
    path_of(raw, kind, 2).unlink()
    skipped = only_skipped(raw, 2)
    assert skipped.status == status
    assert "expected" in skipped.reason


@pytest.mark.parametrize(
    ("kind", "content", "status"),
    [
        (0, b"", "truncated"),
        (0, b"<html>404</html>", "corrupt"),
        (0, files.jpeg(files.color(2))[:-100], "truncated"),
        (0, files.png(files.color(2))[:-10], "truncated"),
        (0, files.png(files.color(2))[:20], "truncated"),
        (0, files.png(files.color(2, (32, 32))), "wrong_size"),
        (1, b"", "truncated"),
        (1, files.png(files.depth(2))[:-30], "truncated"),
        (1, files.png(files.depth(2, (24, 32))), "wrong_size"),
        (1, files.png(files.color(2, files.DEPTH_SIZE)), "corrupt"),
        (1, files.png(np.zeros(files.DEPTH_SIZE, np.uint16)), "no_depth"),
        (1, files.png(np.full(files.DEPTH_SIZE, 65535, np.uint16)), "no_depth"),
        (2, b"", "bad_pose"),
        (2, b"1 0 0 0", "bad_pose"),
        (2, b"lost " * 16, "bad_pose"),
        (2, b"\xff\xfe" * 16, "bad_pose"),
        (2, b"-inf " * 16, "no_pose"),
        (2, b"nan " * 16, "no_pose"),
        (2, b"0 " * 16, "bad_pose"),
    ],
)
def test_bad_file(raw, kind, content, status):
    path = path_of(raw, kind, 2)
    path.write_bytes(content)
    skipped = only_skipped(raw, 2)
    assert skipped.status == status
    assert path.name in skipped.reason


def test_damaged_chunk_of_a_png(raw):
    data = bytearray(path_of(raw, 1, 5).read_bytes())
    data[len(data) // 2] ^= 0xFF
    path_of(raw, 1, 5).write_bytes(bytes(data))
    assert only_skipped(raw, 5).status == "corrupt"


def test_folder_in_place_of_a_file(raw):
    path_of(raw, 0, 1).unlink()
    path_of(raw, 0, 1).mkdir()
    assert only_skipped(raw, 1).status == "corrupt"


def test_damaged_label(tmp_path):
    files.write_folder_scene(tmp_path / "räum 1", "posed_folder", (0, 1))
    label = tmp_path / "räum 1" / "label" / "000001.png"
    label.write_bytes(label.read_bytes()[:50])
    assert only_skipped((tmp_path, "posed_folder"), 1).status == "truncated"


def test_missing_label_is_no_fault(tmp_path):
    files.write_folder_scene(tmp_path / "räum 1", "posed_folder", (0, 1))
    (tmp_path / "räum 1" / "label" / "000001.png").unlink()
    frame = frames_of((tmp_path, "posed_folder"))[1]
    assert frame.status == "ok"
    assert frame.label is None


def test_two_files_of_one_frame(raw):
    double = path_of(raw, 0, 2)
    double.with_suffix(".png" if double.suffix == ".jpg" else ".jpg").write_bytes(b"")
    with pytest.raises(ReaderError, match="both frame 2"):
        frames_of(raw)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1 0 0",
        "a b c d e f g h i",
        "0 0 0 0 0 0 0 0 0",
        "0.9 0 0.5 0 1.2 0.5 0 0 1",
        "nan " * 9,
    ],
)
def test_bad_calibration(raw, text):
    folder, reader = raw
    path = folder / "räum 1" / files.CALIBRATION[reader][0]
    path.write_text(text)
    with pytest.raises(ReaderError, match=path.name):
        frames_of(raw)


def test_missing_calibration_and_scene(raw):
    folder, reader = raw
    with pytest.raises(ReaderError, match="does not exist"):
        READERS[reader].open_scene(folder, "none", 1)
    for name in ("..", "a/b"):
        with pytest.raises(ReaderError, match="no scene name"):
            READERS[reader].open_scene(folder, name, 1)
    name = files.CALIBRATION[reader][0]
    (folder / "räum 1" / name).unlink()
    with pytest.raises(ReaderError, match=name):
        READERS[reader].open_scene(folder, "räum 1", 1)
    with pytest.raises(ReaderError, match=f"none of its 1 scene folders has {name}"):
        READERS[reader].list_scenes(folder)


def test_scene_files(raw):
    folder, reader = raw
    existing = READERS[reader].scene_files(folder, "räum 1")
    assert all(path.exists() for path in existing)
    assert all(path.is_relative_to(folder / "nicht") for path in
               READERS[reader].scene_files(folder, "nicht"))  # fmt: skip


def test_seven_scenes_sequences(tmp_path):
    for sequence in ("seq-01", "seq-02"):
        files.write_folder_scene(tmp_path / "chess" / sequence, "seven_scenes", (0, 1))
        (tmp_path / "chess" / sequence / "intrinsics.txt").unlink()
    (tmp_path / "chess" / "intrinsics.txt").write_text(files.matrix_text(files.K))
    reader = READERS["seven_scenes"]
    assert reader.list_scenes(tmp_path) == ["chess_seq-01", "chess_seq-02"]
    scene = reader.open_scene(tmp_path, "chess_seq-02", 1)
    assert [frame.status for frame in scene.frames()] == ["ok", "ok"]
    assert scene.files == (tmp_path / "chess" / "seq-02", tmp_path / "chess" / "intrinsics.txt")


@pytest.mark.parametrize("wanted", sorted(READERS))
@pytest.mark.parametrize("given", sorted(READERS))
def test_wrong_layout_is_recognised(tmp_path, wanted, given):
    """The classical mistake: one dataset's folder where another's is meant (spec F.3)."""
    if given == "scannet":
        files.write_scan(tmp_path, "s", files.sens_bytes())
    else:
        files.write_folder_scene(tmp_path / "s", given, (0, 1))
    if wanted == given:
        assert READERS[wanted].list_scenes(tmp_path) == ["s"]
        return
    with pytest.raises(ReaderError, match=f"fits reader {given} .*first: s") as error:
        READERS[wanted].list_scenes(tmp_path)
    assert READERS[wanted].layout in str(error.value)


def test_wrong_folders(tmp_path):
    files.write_folder_scene(tmp_path / "s", "posed_folder", (0, 1))
    reader = READERS["posed_folder"]
    with pytest.raises(ReaderError, match="single scene of reader posed_folder: give its parent"):
        reader.list_scenes(tmp_path / "s")
    with pytest.raises(ReaderError, match="does not exist"):
        reader.list_scenes(tmp_path / "none")
    with pytest.raises(ReaderError, match="is a file"):
        reader.list_scenes(tmp_path / "s" / "intrinsics.txt")
    (tmp_path / "other" / "things").mkdir(parents=True)
    with pytest.raises(ReaderError, match="Found: things/"):
        reader.list_scenes(tmp_path / "other")


def test_scannet_mesh(tmp_path):
    files.write_scan(tmp_path, "s", files.sens_bytes(1))
    load_mesh = READERS["scannet"].open_scene(tmp_path, "s", 1).load_mesh
    assert load_mesh() is None
    folder = tmp_path / "scans" / "s"
    vertices = np.eye(3, dtype=np.float32)
    faces = np.array([[0, 1, 2]], np.int32)
    mesh = Mesh(vertices, faces, np.full((3, 3), 9, np.uint8))
    write_ply(folder / "s_vh_clean_2.ply", mesh)
    assert load_mesh().label is None
    label = np.array([1, 40, 0], np.uint16)
    write_ply(
        folder / "s_vh_clean_2.labels.ply",
        Mesh(vertices, faces, np.zeros((3, 3), np.uint8), label),
    )
    np.testing.assert_array_equal(load_mesh().label, label)
    np.testing.assert_array_equal(load_mesh().rgb, mesh.rgb)
    assert len(READERS["scannet"].scene_files(tmp_path, "s")) == 3
    write_ply(folder / "s_vh_clean_2.labels.ply", mesh)
    with pytest.raises(ReaderError, match="expected a label for each of the 3 vertices"):
        load_mesh()
    (folder / "s_vh_clean_2.ply").write_bytes(b"ply\n")
    with pytest.raises(ReaderError, match=r"vh_clean_2\.ply"):
        load_mesh()
