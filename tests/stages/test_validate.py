"""The command: scenes, exit status, and what it prints."""

import shutil
from pathlib import Path

import pytest
import yaml

from pipeline.__main__ import main
from pipeline.config import Params
from pipeline.schemas import open_artifact, read_table, stored_metadata, write_table
from pipeline.stages.build_artifacts import make_scene
from tests.raw_room import write_raw_room

REPOSITORY = Path(__file__).parents[2]


def break_sets(folder: Path) -> None:
    """No set has a pixel any more."""
    file = folder / "sets.parquet"
    kept = stored_metadata(open_artifact(file, "sets"))
    write_table(file, "sets", [read_table(file, "sets").slice(0, 1)] * 2, lambda: kept)


@pytest.fixture
def scenes(artifacts_dir: Path, tmp_path: Path) -> Path:
    """Folder with a valid `room`, and with `unmade`, which is empty."""
    (tmp_path / "artifacts" / "unmade").mkdir(parents=True)
    shutil.copytree(artifacts_dir / "room", tmp_path / "artifacts" / "room")
    return tmp_path / "artifacts"


def test_a_valid_scene(scenes: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(scenes / "room")]) == 0
    printed = capfd.readouterr().out.splitlines()
    assert printed[0] == f"1 scenes in {scenes}"
    assert printed[1].startswith("[1/1] room: valid: 12 frames, ")
    assert printed[2:] == ["1 valid, 0 invalid"]


def test_links_keep_the_names_of_scenes(
    scenes: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "disk").mkdir()
    (scenes / "room").rename(tmp_path / "disk" / "0001")
    (scenes / "room").symlink_to(tmp_path / "disk" / "0001")
    (scenes / "unmade").rmdir()
    (tmp_path / "link").symlink_to(scenes)
    for folder in (scenes, scenes / "room", tmp_path / "link", tmp_path / "link" / "room"):
        assert main(["validate", str(folder), "--jobs", "1"]) == 0
        assert "[1/1] room: valid: " in capfd.readouterr().out


def test_a_folder_of_scenes(scenes: Path, capfd: pytest.CaptureFixture[str]) -> None:
    break_sets(scenes / "room")
    (scenes / "room" / ".lock").touch()
    arguments = ["validate", str(scenes), "--jobs", "1", "--limit", "2"]
    assert main(arguments) == 1
    printed = capfd.readouterr().out
    for fact in (
        "room: invalid: ",
        "  sets.parquet, frame 0: comes after frame 0; needed: ascending ids",
        " more violations (--limit)",
        "  warning: .lock: of a run that was killed, or is still at work",
        f"  in {scenes / 'room'} delete sets.parquet; then `snakemake",
        "unmade: invalid: 8 violations; ",
        "  frames.parquet: missing; ",
        "0 valid, 2 invalid\ninvalid: room, unmade\n",
    ):
        assert fact in printed, printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["empty"], "holds neither a scene's artifacts"),
        (["raw"], "nor folders with them; `check` is for raw folders"),
        (["raw/room"], "nor folders with them; `check` is for raw folders"),
        ([".", "--jobs", "0"], "--jobs must be at least 1, not 0"),
        ([".", "--limit", "0"], "--limit must be at least 1, not 0"),
    ],
)
def test_wrong_arguments(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    write_raw_room(Path("raw"), "room", spoiled=False)
    assert main(["validate", *arguments]) == 1
    printed = capsys.readouterr()
    assert message in printed.err
    assert len((printed.out + printed.err).splitlines()) == 1


@pytest.mark.parametrize("mode", ["strict", "pri3d"])
def test_a_real_sequence(
    sequences: Path, tmp_path: Path, mode: str, capfd: pytest.CaptureFixture[str]
) -> None:
    content = yaml.safe_load((REPOSITORY / "presets" / "real_sequences.yaml").read_text())
    content["geometry"]["matching"]["mode"] = mode
    for section in ("dataset", "labelled"):
        content[section]["raw_dir"] = str(sequences)
    params, out = Params.model_validate(content), tmp_path / "out"
    assert make_scene(params, "shelf_labelled", out, True, False).kind == "made"
    assert main(["validate", str(out / "shelf_labelled")]) == 0
    printed = capfd.readouterr().out
    assert "shelf_labelled: valid: 15 frames, 15 labelled_frames, " in printed
