import shutil
from pathlib import Path

import pytest
import yaml

from pipeline import layout
from pipeline.__main__ import main
from pipeline.stages.build_artifacts import RECORDS, make_scene, remember
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


def test_labels_of_another_dataset_are_not_used(
    raw_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Scene names are no proof: embedded rooms are named like ScanNet's scans."""
    asked = []

    def make_nothing(_params, _scenes, _out, with_labels, *_):  # type: ignore[no-untyped-def]
        asked.append(with_labels)
        return iter(())

    monkeypatch.setattr("pipeline.stages.build_artifacts._make_all", make_nothing)
    params_file = tmp_path / "params.yaml"
    for about in (tmp_path, raw_dir):
        params_file.write_text(yaml.safe_dump(raw_params(about).model_dump(mode="json")))
        arguments = ["build-artifacts", "--reader", "posed_folder", "--raw", str(raw_dir)]
        arguments += ["--out", str(tmp_path / "out"), "--params", str(params_file)]
        assert main(arguments) == 0
    assert asked == [False, True]
    assert capsys.readouterr().out.count("no labelled frames: ") == 1


def test_complete_scenes_are_kept(raw_dir: Path, tmp_path: Path) -> None:
    raw, out = Path(shutil.copytree(raw_dir, tmp_path / "raw")), tmp_path / "out"

    def make(force: bool = False, **matching: object) -> str:
        outcome = make_scene(raw_params(raw, **matching), "room", out, True, force)
        remember(out, outcome)
        return outcome.kind

    assert [make(), make(), make(force=True), make()] == ["made", "kept", "made", "kept"]
    assert [make(radius_m=0.09), make()] == ["made", "made"]
    layout.artifact(out, "room", "sets").unlink()
    assert [make(), make()] == ["made", "kept"]
    pose = raw / "room" / "pose" / "000000.txt"
    pose.write_text(pose.read_text() + "\n")
    assert [make(), make()] == ["made", "kept"]
    (out / RECORDS).write_text("{")
    assert [make(), make()] == ["made", "kept"]

    # A scene that fails is not complete, whatever is left of an earlier success.
    shutil.rmtree(raw / "room" / "depth")
    assert [make(), make()] == ["failed", "failed"]


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
