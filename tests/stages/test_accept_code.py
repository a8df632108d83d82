"""Checkpoints of a training whose code was edited: kept, and used only if somebody says so."""

from pathlib import Path

import pytest

from pipeline import layout
from pipeline.__main__ import main
from pipeline.atomic import write_json
from pipeline.stages.common import StageError
from pipeline.stages.training_run import checkpoint_folder
from pipeline.stages.write_fingerprints import fingerprint

ITEM = ("rooms", "view", 0)
MODULE = "pipeline.losses.info_nce"


def folder(used: dict | None = None) -> Path:
    return checkpoint_folder("pretrain", ITEM, used or {"model": 1}, [Path("manifest.json")])


@pytest.fixture(autouse=True)
def before_the_edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clone in which one module had another content when the training began."""
    monkeypatch.chdir(tmp_path)
    write_json(layout.fingerprint("pretrain"), fingerprint("pretrain") | {MODULE: "before"})


def edit() -> None:
    write_json(layout.fingerprint("pretrain"), fingerprint("pretrain"))


def test_same_code() -> None:
    (folder() / "step-1").touch()
    assert (folder() / "step-1").is_file()


def test_params_data_and_seed_have_folders_of_their_own() -> None:
    first = folder()
    assert folder({"model": 2}) != first
    Path("manifest.json").write_text("{}")
    assert folder() != first


def test_an_edit_stops_it_until_it_is_accepted() -> None:
    (folder() / "step-1").touch()
    edit()
    with pytest.raises(StageError, match=rf"pretrain@rooms-view-0: .* before {MODULE} was edited"):
        folder()
    assert main(["accept-code"]) == 0
    assert (folder() / "step-1").is_file()


def test_an_edit_that_is_undone(capsys: pytest.CaptureFixture[str]) -> None:
    (folder() / "step-1").touch()
    original = layout.fingerprint("pretrain").read_bytes()
    edit()
    with pytest.raises(StageError, match="undo the edit"):
        folder()
    layout.fingerprint("pretrain").write_bytes(original)
    assert (folder() / "step-1").is_file()


def test_an_edit_before_the_first_checkpoint_is_none() -> None:
    folder()
    edit()
    folder()


def test_only_the_first_of_several_processes_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    (folder() / "step-1").touch()
    edit()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("RANK", "1")
    folder()
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(StageError):
        folder()


def test_nothing_to_accept(capsys: pytest.CaptureFixture[str]) -> None:
    (folder() / "step-1").touch()
    assert main(["accept-code"]) == 0
    assert MODULE in capsys.readouterr().out
    assert main(["accept-code"]) == 0
    assert not capsys.readouterr().out
