"""What goes wrong where artifacts are written: no partial file, a named error, a next run."""

import errno
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier

import pytest
import yaml

from pipeline import layout
from pipeline.__main__ import main
from pipeline.atomic import WriteError, exclusive, write_text
from pipeline.config import PARAMS_VARIABLE
from pipeline.readers.base import Frame
from pipeline.schemas import open_artifact
from pipeline.stages.build_artifacts import make_scene, remember
from pipeline.stages.extract_frames import extract_scene
from pipeline.stages.frame_rows import FrameLog
from tests.artifacts import bad_scenes as bad
from tests.artifacts.bad_scenes import RAW, SCENE

COMMANDS = ("extract-frames", "oversegment", "find-overlaps")
NOBODY = 65534


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw folder with one good scene."""
    folder = tmp_path_factory.mktemp("raw") / RAW
    bad.write_recording(folder / SCENE)
    return folder


@pytest.fixture(scope="module")
def good(raw: Path) -> dict[str, bytes]:
    """File name -> content of the scene's artifacts."""
    out = raw.parent / "out"
    assert make_scene(bad.params(raw, "scannet"), SCENE, out, True, False).kind == "made"
    found = {path.name: path.read_bytes() for path in (out / SCENE).iterdir()}
    return found


@pytest.fixture
def run(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd):
    """Function that runs a command on the scene: exit status and what it said."""
    params_file = tmp_path / "params.yaml"
    params_file.write_text(yaml.safe_dump(bad.params(raw, "scannet").model_dump(mode="json")))
    monkeypatch.setenv(PARAMS_VARIABLE, str(params_file))

    def run_command(command: str, out: Path) -> tuple[int, str]:
        capfd.readouterr()
        status = main([command, SCENE, "--out", str(out)])
        return status, capfd.readouterr().err

    return run_command


@contextmanager
def disk(folder: Path, options: str) -> Iterator[Path]:
    """A disk of its own; skips the test where nothing can be mounted."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a disk: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def check_whole(folder: Path, good: dict[str, bytes]) -> set[str]:
    """Names in a folder, after checking that what has a final name is whole."""
    for path in folder.iterdir():
        assert path.read_bytes() == good[path.name]
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("command", COMMANDS)
def test_read_only_disk(run, good, tmp_path, command):
    with disk(tmp_path / "disk", "size=4m") as out:
        for before in COMMANDS[: COMMANDS.index(command)]:
            assert run(before, out)[0] == 0
        names = check_whole(out / SCENE, good) if (out / SCENE).exists() else set()
        subprocess.run(["mount", "-o", "remount,ro", str(out)], check=True)
        status, error = run(command, out)
        assert status == 1
        assert re.search(r"error: .*disk/.*: cannot be written: Read-only .*; choose a", error)
        subprocess.run(["mount", "-o", "remount,rw", str(out)], check=True)
        assert not names or check_whole(out / SCENE, good) == names
        assert run(command, out)[0] == 0


def test_complete_artifacts_on_a_read_only_disk_are_kept(raw, tmp_path):
    params = bad.params(raw, "scannet")
    with disk(tmp_path / "disk", "size=4m") as out:
        remember(out, make_scene(params, SCENE, out, True, False))
        subprocess.run(["mount", "-o", "remount,ro", str(out)], check=True)
        assert make_scene(params, SCENE, out, True, False).kind == "kept"
        outcome = make_scene(params, SCENE, out, True, True)
        assert outcome.kind == "failed"
        assert "cannot be written: Read-only" in outcome.text
        assert "Traceback" not in outcome.text


def test_folder_that_cannot_be_made(raw):
    """/proc has no room for folders, also for root."""
    out = Path("/proc/artifacts")
    outcome = make_scene(bad.params(raw, "scannet"), SCENE, out, True, False)
    assert outcome.kind == "failed"
    assert outcome.text.startswith(f"{out / SCENE}: no such folder can be made; choose")


@pytest.mark.parametrize("below", ["", "folder"])
def test_link_to_nothing(raw, tmp_path, below):
    """Not `File exists`: nothing is to be moved away."""
    link = tmp_path / "link"
    link.symlink_to("gone")
    outcome = make_scene(bad.params(raw, "scannet"), SCENE, link / below, True, False)
    assert outcome.kind == "failed"
    assert outcome.text.startswith(f"{link}: is a link to gone, which does not exist; make that")
    with pytest.raises(WriteError, match=re.escape(f"{link}: is a link to gone")):
        write_text(link / below / "file.png", "")
    assert not (tmp_path / "gone").exists()


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A readable raw scene in a folder that cannot be written to, for a user who is not root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bad.write_recording(folder / RAW / SCENE)
        folder.chmod(0o555)
        was_root = os.geteuid() == 0
        if was_root:
            os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            if was_root:
                os.seteuid(0)
            folder.chmod(0o755)


def test_no_permission_to_write(as_nobody):
    params = bad.params(as_nobody / RAW, "scannet")
    outcome = make_scene(params, SCENE, as_nobody / "out", True, False)
    assert outcome.kind == "failed"
    assert re.search("out/.* cannot be written: Permission denied; choose", outcome.text)
    assert "Traceback" not in outcome.text


def test_no_permission_to_read(raw, tmp_path, monkeypatch, capfd):
    """A raw folder of somebody else's."""

    def denied(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", denied)
    status = main(["check", "--reader", "posed_folder", "--raw", str(raw)])
    assert status == 1
    assert re.search(r"error: .*Permission denied: .*rohe", capfd.readouterr().err)


def test_full_disk(run, good, tmp_path):
    """Of every size: what does not fit is missing, and named."""
    refused = set()
    for kilobytes in range(4, 200, 4):
        with disk(tmp_path / "disk", f"size={kilobytes}k") as out:
            ended = [run(command, out) for command in COMMANDS]
            if all(status == 0 for status, _ in ended):
                assert check_whole(out / SCENE, good) == set(good)
                break
            assert not (out / SCENE).exists() or check_whole(out / SCENE, good) < set(good)
            for _, error in ended:
                found = re.search(
                    r"/([\w.]+): cannot be written: No space left .*; make room", error
                )
                refused |= {found[1]} if found else set()
    assert refused >= {"frames.parquet", "mesh.ply", "voxels.parquet", "sets.parquet"}


def test_matches_left_by_another_run(run, raw, tmp_path):
    """A run with other voxels that failed half-way must not be mixed with the one before."""
    out = tmp_path / "out"
    assert run("extract-frames", out)[0] == 0
    matches = layout.artifact(out, SCENE, "correspondences")
    before = matches.read_bytes()
    params = bad.params(raw, "scannet")
    geometry = params.geometry.model_copy(update={"voxel_size_m": 0.2})
    extract_scene(params.model_copy(update={"geometry": geometry}), SCENE, out)
    matches.write_bytes(before)
    status, error = run("oversegment", out)
    assert status == 1
    assert "correspondences.parquet: made from other frames or voxels" in error


@pytest.mark.parametrize("command", ["extract-frames", "find-overlaps"])
@pytest.mark.parametrize("reader", ["scannet", "posed_folder"])
def test_raw_folder_that_goes_away(tmp_path, monkeypatch, capfd, command, reader):
    """In the middle of a scene: its other frames must not be taken for damaged ones."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    write = bad.write_recording if reader == "scannet" else bad.write_posed_folder
    write(raw / SCENE)
    params_file = tmp_path / "params.yaml"
    params_file.write_text(yaml.safe_dump(bad.params(raw, reader).model_dump(mode="json")))
    monkeypatch.setenv(PARAMS_VARIABLE, str(params_file))
    arguments = [command, SCENE, "--out", str(out)]
    assert main(arguments) == 0
    undisturbed = {path.name: path.read_bytes() for path in (out / SCENE).iterdir()}
    shutil.rmtree(out)

    watch = FrameLog.watch

    def watch_until_it_is_gone(log: FrameLog, frames: Iterable[Frame]) -> Iterator[Frame]:
        for frame in watch(log, frames):
            yield frame
            if frame.frame_id == 1 and raw.exists():
                raw.rename(tmp_path / "away")

    monkeypatch.setattr(FrameLog, "watch", watch_until_it_is_gone)
    assert main(arguments) == 1
    error = capfd.readouterr().err
    assert re.search(
        r"error: .*raw/.* is gone\. Bring the folder back .* run the same again", error
    )
    assert "Traceback" not in error
    found = check_whole(out / SCENE, undisturbed) if (out / SCENE).exists() else set()
    assert not found & {"frames.parquet", "correspondences.parquet", "overlaps.parquet"}
    (tmp_path / "away").rename(raw)
    monkeypatch.setattr(FrameLog, "watch", watch)
    assert main(arguments) == 0
    assert check_whole(out / SCENE, undisturbed) == set(undisturbed)


#: Kills a run before it renames its n-th file, when the file has its content already.
KILLED_RUN = """
import os, signal, sys
from pipeline.__main__ import main

rename, left = os.replace, int(sys.argv[1])

def rename_or_die(source, target):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)

os.replace = rename_or_die
main(sys.argv[2:])
"""


@pytest.mark.parametrize(
    ("command", "n_whole"),
    [("extract-frames", 0), ("extract-frames", 2), ("extract-frames", 3), ("find-overlaps", 0)],
)
def test_kill_9(run, good, tmp_path, command, n_whole):
    out = tmp_path / "out"
    arguments = [str(n_whole + 1), command, SCENE, "--out", str(out)]
    killed = subprocess.run([sys.executable, "-c", KILLED_RUN, *arguments], timeout=60)
    assert killed.returncode == -signal.SIGKILL
    names = {path.name for path in (out / SCENE).iterdir()}
    leftovers = {name for name in names if name.startswith(".")}
    assert len(names - leftovers) == n_whole
    unfinished = leftovers - {".lock", ".overlaps.lock"}
    assert unfinished < leftovers
    assert unfinished
    assert all(re.fullmatch(r"\.\w+\.\w{8}\.tmp\.(parquet|ply)", name) for name in unfinished)
    for again in COMMANDS:
        assert run(again, out)[0] == 0
    assert check_whole(out / SCENE, good) == set(good)


@pytest.mark.parametrize("n_whole", [0, 3])
def test_a_killed_run_is_not_taken_for_complete(run, good, raw, tmp_path, n_whole):
    """Nor where the params and the raw files are those of the build before it."""
    out, params = tmp_path / "out", bad.params(raw, "scannet")
    remember(out, make_scene(params, SCENE, out, True, False))
    arguments = [str(n_whole + 1), "extract-frames", SCENE, "--out", str(out)]
    killed = subprocess.run([sys.executable, "-c", KILLED_RUN, *arguments], timeout=60)
    assert killed.returncode == -signal.SIGKILL
    made = make_scene(params, SCENE, out, True, False)
    assert made.kind == "made"
    assert check_whole(out / SCENE, good) == set(good)
    remember(out, made)
    assert make_scene(params, SCENE, out, True, False).kind == "kept"


#: Stage that is at work -> the stages that may not start beside it.
STOPPED = {
    "extract-frames": ("extract-frames", "oversegment"),
    "find-overlaps": ("find-overlaps",),
}


@pytest.mark.parametrize("at_work", STOPPED)
def test_second_run_is_told_so(run, good, raw, tmp_path, at_work):
    out = tmp_path / "out"
    stem = "overlaps" if at_work == "find-overlaps" else ""
    assert run("extract-frames", out)[0] == 0
    with exclusive(out / SCENE, stem):
        for command in COMMANDS:
            status, error = run(command, out)
            assert status == (command in STOPPED[at_work])
            stopped = re.search(r"error: .*another run is at work there; wait", error)
            assert bool(stopped) == (command in STOPPED[at_work])
        outcome = make_scene(bad.params(raw, "scannet"), SCENE, out, True, False)
        assert (outcome.kind, "another run" in outcome.text) == ("failed", True)
    for command in COMMANDS:
        assert run(command, out)[0] == 0
    assert check_whole(out / SCENE, good) == set(good)


@pytest.mark.parametrize(("stem", "beside"), [("", "overlaps"), ("overlaps", "")])
def test_unfinished_files_of_a_run_beside_are_left(tmp_path, stem, beside):
    """By their names alone: the lock of a file may not reach another machine."""
    unfinished = tmp_path / f".{beside or 'frames'}.abcdefgh.tmp.parquet"
    with exclusive(tmp_path, beside):
        unfinished.touch()
        with exclusive(tmp_path, stem):
            assert unfinished.exists()
    with exclusive(tmp_path, beside):
        assert not unfinished.exists()


@pytest.fixture(params=["locks", "no locks"])
def locks(request, monkeypatch) -> bool:
    """Whether the file system has locks; some that clusters share have none."""
    if request.param == "no locks":

        def no_locks(*_: object) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "flock", no_locks)
    return request.param == "locks"


@pytest.mark.parametrize("command", COMMANDS)
def test_two_runs_at_once(run, good, tmp_path, command, locks):
    out, barrier = tmp_path / "out", Barrier(2)
    for before in COMMANDS[: COMMANDS.index(command)]:
        assert run(before, out)[0] == 0

    def start(_: int) -> int:
        barrier.wait()
        return main([command, SCENE, "--out", str(out)])

    with ThreadPoolExecutor(2) as pool:
        statuses = sorted(pool.map(start, range(2)))
    assert statuses == [0, 0] or (locks and statuses == [0, 1])
    check_whole(out / SCENE, good)
    for path in (out / SCENE).glob("*.parquet"):
        open_artifact(path, path.stem)
