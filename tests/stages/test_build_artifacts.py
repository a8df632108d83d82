import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from pipeline import layout
from pipeline.__main__ import main
from pipeline.stages.build_artifacts import RECORDS, about, make_scene, remember
from tests.raw_room import raw_params, write_raw_room


def test_a_folder_with_a_bad_scene(
    raw_dir: Path, artifacts_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The others are made all the same, equal to what the stages make; the failure is named."""
    raw = Path(shutil.copytree(raw_dir, tmp_path / "raw"))
    write_raw_room(raw, "bad", good=False)
    params_file = tmp_path / "params.yaml"
    params_file.write_text(yaml.safe_dump(raw_params(raw).model_dump(mode="json")))
    arguments = ["build-artifacts", "--reader", "posed_folder", "--raw", str(raw)]
    arguments += ["--out", str(tmp_path / "out"), "--params", str(params_file), "--jobs", "1"]
    assert main(arguments) == 1
    output = capfd.readouterr().out
    assert "nothing is left of 4 frames" in output
    assert output.splitlines()[-2:] == ["1 made, 0 kept, 1 failed", "failed: bad"]
    assert "\x1b" not in output  # plain lines where there is no terminal
    for kind in layout.ARTIFACT_KINDS:
        made, expected = (
            layout.artifact(f, "room", kind) for f in (tmp_path / "out", artifacts_dir)
        )
        assert made.read_bytes() == expected.read_bytes()


@pytest.mark.parametrize(
    ("theirs", "reader", "labelled", "found"),
    [
        ("raw", "posed_folder", "labels", "labels"),  # the params are about --raw
        ("link", "scannet", "labels", "labels"),
        ("a", "posed_folder", "a", "raw"),
        ("a", "posed_folder", "a/../a/inside", "raw/inside"),
        ("a", "posed_folder", "labels", "labelled.raw_dir is not in it but {}/labels"),
        ("a", "posed_folder", "abc", "labelled.raw_dir is not in it but {}/abc"),
        ("a", "posed_folder", "a/other", "{}/raw/other, does not exist"),
        ("a", "scannet", "a", "the reader scannet, not posed_folder"),
    ],
)
def test_which_labelled_frames(
    tmp_path: Path, theirs: str, reader: str, labelled: str, found: str
) -> None:
    """Those of the same dataset; names of scenes prove nothing, embedded ones are ScanNet's."""
    (tmp_path / "raw" / "inside").mkdir(parents=True)
    (tmp_path / "link").symlink_to("raw")
    given = raw_params(tmp_path / theirs)
    sections = {
        "dataset": given.dataset.model_copy(update={"reader": reader}),
        "labelled": given.labelled.model_copy(update={"raw_dir": str(tmp_path / labelled)}),
    }
    params, why = about(given.model_copy(update=sections), "posed_folder", tmp_path / "raw")
    assert (params.dataset.reader, params.dataset.raw_dir) == ("posed_folder", f"{tmp_path}/raw")
    if why:
        assert why.startswith(f"dataset.raw_dir of the params is {tmp_path / theirs}, not ")
        assert why.endswith(found.format(tmp_path))
    else:
        assert params.labelled.raw_dir == str(tmp_path / found)


def test_missing_labels_are_said_and_the_way_to_them(
    raw_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = raw_params(tmp_path / "other").model_dump(mode="json")
    params_file = tmp_path / "params.yaml"
    labels = layout.artifact(tmp_path / "out", "room", "labelled_frames")
    for labelled, is_said in ((tmp_path / "third", True), (tmp_path / "other", False)):
        given["labelled"]["raw_dir"] = str(labelled)
        params_file.write_text(yaml.safe_dump(given))
        arguments = ["build-artifacts", "--reader", "posed_folder", "--raw", str(raw_dir)]
        arguments += ["--out", str(tmp_path / "out"), "--params", str(params_file), "--jobs", "1"]
        assert main(arguments) == 0
        said = capfd.readouterr().out
        assert ("no labelled frames: " in said) == is_said
        assert (f"set dataset.raw_dir to {raw_dir} and labelled.raw_dir" in said) == is_said
        assert bool(pq.read_metadata(labels).num_rows) != is_said
    assert "room: made: again (raw files changed): " in said


@pytest.fixture
def build(raw_dir: Path, tmp_path: Path) -> Callable[..., str]:
    """Function that makes the room of `tmp_path / "raw"`: what became of it, and why."""
    shutil.copytree(raw_dir, tmp_path / "raw")

    def make(force: bool = False, raw: str = "raw", **matching: object) -> str:
        out = tmp_path / "out"
        outcome = make_scene(raw_params(tmp_path / raw, **matching), "room", out, True, force)
        remember(out, outcome)
        found = re.match(r"again \((.*?)\): ", outcome.text)
        return f"again: {found[1]}" if found else outcome.kind

    return make


def test_complete_scenes_are_kept(build: Callable[..., str], tmp_path: Path) -> None:
    """One that is made again says what has changed."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    assert [build(), build(), build(force=True), build()] == [
        *("made", "kept", "again: --force", "kept")
    ]
    assert [build(radius_m=0.09), build()] == ["again: params changed"] * 2
    layout.artifact(out, "room", "sets").unlink()
    assert [build(), build()] == ["again: artifacts changed", "kept"]
    pose = raw / "room" / "pose" / "000000.txt"
    pose.write_text(pose.read_text() + "\n")
    layout.artifact(out, "room", "sets").touch()
    assert [build(), build()] == ["again: raw files, artifacts changed", "kept"]

    # A scene that fails is not complete, whatever is left of an earlier success.
    shutil.rmtree(raw / "room" / "depth")
    assert [build(), build()] == ["failed", "failed"]


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"room": "5d41"}', '{"room": 5}', '{"other": {}}'], ids=repr
)
def test_damaged_record(build: Callable[..., str], tmp_path: Path, content: str) -> None:
    assert build() == "made"
    (tmp_path / "out" / RECORDS).write_text(content)
    assert [build(), build()] == ["again: build.json does not know it as complete", "kept"]


def test_another_version_of_the_package(
    build: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert build() == "made"
    monkeypatch.setattr("pipeline.stages.build_artifacts.package_version", lambda: "99")
    assert [build(), build()] == ["again: package version changed", "kept"]


def test_moved_raw_folder(build: Callable[..., str], tmp_path: Path) -> None:
    """Also one that is copied with its times, but not without them."""
    assert build() == "made"
    (tmp_path / "raw").rename(tmp_path / "moved")
    shutil.copytree(tmp_path / "moved", tmp_path / "copied")
    shutil.copytree(tmp_path / "moved", tmp_path / "new", copy_function=shutil.copyfile)
    assert [build(raw=raw) for raw in ("moved", "copied", "new")] == [
        *("kept", "kept", "again: raw files changed")
    ]


def test_eight_files_a_scene(
    raw_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """And one above them, in which the command notes each scene."""
    raw, out = Path(shutil.copytree(raw_dir, tmp_path / "raw")), tmp_path / "out"
    shutil.copytree(raw / "room", raw / "again")
    params_file = tmp_path / "params.yaml"
    params_file.write_text(yaml.safe_dump(raw_params(raw).model_dump(mode="json")))
    arguments = ["build-artifacts", "--reader", "posed_folder", "--raw", str(raw)]
    arguments += ["--out", str(out), "--params", str(params_file), "--jobs", "1"]
    for end in ("2 made, 0 kept", "0 made, 2 kept"):
        assert main(arguments) == 0
        assert end in capfd.readouterr().out
    assert len(list((out / "room").iterdir())) == len(layout.ARTIFACT_KINDS) + 1 == 8
    assert {path.name for path in out.iterdir()} == {"room", "again", RECORDS}


def test_bugs_keep_their_traceback(
    raw_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("pipeline.stages.build_artifacts.oversegment_scene", broken)
    outcome = make_scene(raw_params(raw_dir), "room", tmp_path, True, False)
    assert outcome.kind == "failed"
    assert "Traceback" in outcome.text
    assert "a bug" in outcome.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--jobs", "0"], "--jobs must be at least 1"), (["--raw", "nowhere"], "does not exist")],
)
def test_wrong_arguments(
    raw_dir: Path,
    tmp_path: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    params_file = tmp_path / "params.yaml"
    params_file.write_text(yaml.safe_dump(raw_params(raw_dir).model_dump(mode="json")))
    command = ["build-artifacts", "--reader", "posed_folder", "--raw", str(raw_dir)]
    command += ["--out", str(tmp_path / "out"), "--params", str(params_file), *arguments]
    assert main(command) == 1
    assert message in capsys.readouterr().err
