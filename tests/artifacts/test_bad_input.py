"""Every kind of bad input at the commands: a named error or a named skip, and the next run goes on.

What each reader does with each damage is tested in tests/readers; here is what a user meets.
"""

import re
import shutil
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline import layout
from pipeline.__main__ import main
from pipeline.config import PARAMS_VARIABLE
from pipeline.schemas import open_artifact, read_table
from pipeline.stages.build_artifacts import make_scene
from tests.artifacts import bad_scenes as bad
from tests.artifacts.bad_scenes import FRAMES, RAW, SCENE
from tests.readers import reader_files as files

COMMANDS = ("extract-frames", "oversegment", "find-overlaps")
WRITERS = {"scannet": bad.write_recording, "posed_folder": bad.write_posed_folder}
#: The status of a frame that is used with a warning.
WARNED = "ok, with a warning"
#: Nothing decoded here is larger than a few thousand pixels.
MEMORY_LIMIT_MB = 60

LOST, NAN = np.full((4, 4), -np.inf), np.full((4, 4), np.nan)
ALL_NAN, EMPTY = np.full((192, 3), np.nan), np.empty((0, 3))
TRUNCATED_2 = {"ok": 2, "truncated": 2}
#: A whole PNG of the right size, but for a byte of its pixels.
DAMAGED = bad.flip_middle(files.png(files.color(1)))
BOMB = bad.png_bomb(6000)  # 72 MB from 70 kB

#: Case -> (reader, damage, and its end: the statuses of the frames, or the error that names it).
CASES: dict[str, tuple[str, bad.Damage, dict[str, int] | str]] = {
    "good": ("scannet", lambda _: None, {"ok": 4}),
    "empty file": ("scannet", bad.cut_sens(0), "ends inside its header"),
    "cut in the header": ("scannet", bad.cut_sens(200), "ends inside its header"),
    "cut in a colour payload": ("scannet", bad.cut(2, "color"), TRUNCATED_2),
    "cut in a depth payload": ("scannet", bad.cut(2, "depth"), TRUNCATED_2),
    "cut in the frame table": ("scannet", bad.cut(2, "record"), TRUNCATED_2),
    "cut in the IMU block": ("scannet", bad.CUT_IMU, {"ok": 4}),
    "wrong version": ("scannet", bad.recording(version=2), r"version 3 or 4 \(version: 2\)"),
    "not a recording": ("scannet", bad.write("{}.sens", b"<html>" * 99), "not a .sens file"),
    "unknown colour compression": ("scannet", bad.header(64, 9), "colour compression 9 is unknown"),
    "unknown depth compression": ("scannet", bad.header(65, 9), "depth compression 9 is unknown"),
    "occi": ("scannet", bad.header(65, 2), "occi needs a closed library.*convert"),
    "no intrinsics": ("scannet", bad.header(32, 0.0), "depth intrinsics: not the intrinsics"),
    "tiny depth shift": ("scannet", bad.header(70, 1e-45), "depth shift of 1.*per metre"),
    "frame count of 2^40": ("scannet", bad.header(71, 1 << 40), {"ok": 4, "truncated": 1}),
    "payload of a terabyte": ("scannet", bad.hole_of_zeros, {"ok": 3, "corrupt": 1}),
    "empty colour payload": ("scannet", bad.payloads(color=b""), {"ok": 3, "no_color": 1}),
    "empty depth payload": ("scannet", bad.payloads(depth=b""), {"ok": 3, "no_depth": 1}),
    "colour of another size": (
        "scannet",
        bad.payloads(color=files.png(files.color(1, (48, 64)))),
        {"ok": 3, "wrong_size": 1},
    ),
    "colour bomb": ("scannet", bad.payloads(color=BOMB), {"ok": 3, "wrong_size": 1}),
    "depth bomb": (
        "scannet",
        bad.payloads(depth=zlib.compress(bytes(200_000_000), 1)),
        {"ok": 3, "wrong_size": 1},
    ),
    "no pose at all": (
        "scannet",
        bad.recording(poses=dict.fromkeys(FRAMES, LOST)),
        "nothing is left of 4 frames: 4 no_pose(.|\n)*tracking lost(.|\n)*leave the scene out",
    ),
    "depth of 65 m": ("scannet", bad.recording(depths={1: bad.outlier_depth()}), {"ok": 4}),
    "fused depth of 65 m": (
        "posed_folder",
        bad.write("depth/000001.png", files.png(bad.outlier_depth())),
        {"ok": 4},
    ),
    "mesh with NaN": (
        "scannet",
        bad.mesh(vertices=ALL_NAN),
        "vertices that are not finite; repair",
    ),
    "mesh without faces": ("scannet", bad.mesh(faces=EMPTY), {"ok": 4}),
    "mesh without anything": ("scannet", bad.mesh(vertices=EMPTY, faces=EMPTY), {"ok": 4}),
    "cut mesh": ("scannet", bad.write("{}_vh_clean_2.ply", b"ply\n"), "header line not understood"),
    "labels of another mesh": (
        "scannet",
        lambda folder: shutil.copy(
            folder / f"{SCENE}_vh_clean_2.ply", folder / f"{SCENE}_vh_clean_2.labels.ply"
        ),
        "expected a label for each of the 192 vertices",
    ),
    "zero-byte picture": (
        "posed_folder",
        bad.write("color/000001.png", b""),
        {"ok": 3, "truncated": 1},
    ),
    "damaged picture": (
        "posed_folder",
        bad.write("color/000001.png", DAMAGED),
        {"ok": 3, "corrupt": 1},
    ),
    "depth picture of another size": (
        "posed_folder",
        bad.write("depth/000001.png", files.png(files.depth(1, (24, 32)))),
        {"ok": 3, "wrong_size": 1},
    ),
    "depth picture bomb": (
        "posed_folder",
        bad.write("depth/000001.png", BOMB),
        {"ok": 3, "wrong_size": 1},
    ),
    "colour picture bomb": (
        "posed_folder",
        bad.write("color/000001.png", BOMB),
        {"ok": 3, "wrong_size": 1},
    ),
    "colour without depth": (
        "posed_folder",
        bad.remove("depth/000001.png"),
        {"ok": 3, "no_depth": 1},
    ),
    "pose of 3 rows": ("posed_folder", bad.pose(np.eye(4)[:3]), {"ok": 3, "bad_pose": 1}),
    "pose of NaN": ("posed_folder", bad.pose(NAN), {"ok": 3, "no_pose": 1}),
    "pose of -inf": ("posed_folder", bad.pose(LOST), {"ok": 3, "no_pose": 1}),
    "rotation scaled by 1.004": ("posed_folder", bad.pose(bad.scaled(1.004)), {"ok": 4}),
    "rotation scaled by 1.03": ("posed_folder", bad.pose(bad.scaled(1.03)), {"ok": 3, WARNED: 1}),
    "rotation scaled by 2": ("posed_folder", bad.pose(bad.scaled(2)), {"ok": 3, "bad_pose": 1}),
    "gap in the frame numbers": (
        "posed_folder",
        bad.remove("color/000001.png", "depth/000001.png", "pose/000001.txt"),
        {"ok": 3},
    ),
    "intrinsics with a skew": (
        "posed_folder",
        bad.write("intrinsics.txt", b"500 0.5 320\n0 500 240\n0 0 1\n"),
        r"intrinsics\.txt: not the intrinsics of a pinhole camera",
    ),
    "no intrinsics file": (
        "posed_folder",
        bad.remove("intrinsics.txt"),
        r"no intrinsics: expected .*intrinsics\.txt",
    ),
}


@pytest.fixture(scope="module", autouse=True)
def warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Imports and compiled kernels are not counted as the memory of a bad scene."""
    for reader, write in WRITERS.items():
        folder = tmp_path_factory.mktemp(reader)
        write(folder / SCENE)
        params = bad.params(folder, reader)
        assert make_scene(params, SCENE, folder / "out", True, False).kind == "made"


def memory_mb(field: str) -> float:
    """`VmRSS` (now) or `VmHWM` (at most, since the last reset) of this process."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+) kB", status)[1]) / 1024


def reset_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("the kernel does not let this process reset its peak memory")


def check_whole(folder: Path) -> None:
    """Every file has a final name, and every table can be read."""
    for path in folder.iterdir():
        if path.suffix == ".parquet":
            open_artifact(path, path.stem).read()
        else:
            assert path.name == "mesh.ply", path


def counts(out: Path) -> dict[str, int]:
    """How many frames have which status; every other than `ok` names the file."""
    table = read_table(layout.artifact(out, SCENE, "frames"), "frames")
    found: Counter[str] = Counter()
    for row in table.select(["status", "reason"]).to_pylist():
        status, reason = row.values()
        assert status == "ok" or reason.startswith(SCENE)
        found[WARNED if status == "ok" and reason else status] += 1
    return dict(found)


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case, tmp_path, monkeypatch, capfd):
    reader, damage, end = CASES[case]
    raw, out = tmp_path / RAW, tmp_path / "out"
    params, folder = bad.params(raw, reader), raw / SCENE
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json")))
    monkeypatch.setenv(PARAMS_VARIABLE, str(tmp_path / "params.yaml"))
    WRITERS[reader](folder)
    damage(folder)

    reset_peak()
    before_mb = memory_mb("VmRSS")
    ended = {name: main([name, SCENE, "--out", str(out)]) for name in COMMANDS}
    assert memory_mb("VmHWM") - before_mb < MEMORY_LIMIT_MB
    errors = capfd.readouterr().err
    assert "Traceback" not in errors
    if isinstance(end, str):
        assert ended["extract-frames"] == ended["oversegment"] == 1
        assert re.search(end, errors)
        assert SCENE in errors
        outcome = make_scene(params, SCENE, out, True, False)
        assert outcome.kind == "failed"
        assert re.search(end, outcome.text)
        assert "Traceback" not in outcome.text
        # Frames are looked at after the mesh; a mesh that is refused is not there.
        assert not layout.mesh(out, SCENE).exists() or "nothing is left" in outcome.text
    else:
        assert set(ended.values()) == {0}, errors
        assert counts(out) == end
    if (out / SCENE).exists():
        check_whole(out / SCENE)

    shutil.rmtree(folder)
    WRITERS[reader](folder)
    assert make_scene(params, SCENE, out, True, False).kind == "made"
    assert counts(out) == {"ok": 4}
