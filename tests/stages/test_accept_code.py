"""Checkpoints of a training whose code was edited: kept, and used only if somebody says so."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import layout
from pipeline.__main__ import main
from pipeline.stages import training_run
from pipeline.stages.common import StageError
from pipeline.stages.training_run import Item, checkpoint_folder
from pipeline.stages.write_fingerprints import fingerprint

ITEM = Item("pretrain", "rooms", {"variant": "view"}, 0)
MODULE = "pipeline.losses.info_nce"
AS_IT_IS = fingerprint("pretrain")


def folder(used: dict | None = None, item: Item = ITEM) -> Path:
    return checkpoint_folder(item, used or {"model": 1}, [Path("manifest.json")])


@pytest.fixture(autouse=True)
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A clone in which one module has another content until it is edited to what it is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training_run, "fingerprint", lambda stage: AS_IT_IS | {MODULE: "before"})
    return lambda: monkeypatch.setattr(training_run, "fingerprint", lambda stage: AS_IT_IS)


def test_same_code() -> None:
    (folder() / "step-1").touch()
    assert (folder() / "step-1").is_file()


def test_params_data_and_seed_have_folders_of_their_own() -> None:
    first = folder()
    assert folder({"model": 2}) != first
    assert folder(item=replace(ITEM, seed=1)) != first
    Path("manifest.json").write_text("{}")
    assert folder() != first


@pytest.mark.parametrize("named", [(), ("pretrain@rooms-view-0",)])
def test_an_edit_stops_it_until_it_is_accepted(edit: Callable, named: tuple[str, ...]) -> None:
    (folder() / "step-1").touch()
    edit()
    with pytest.raises(StageError, match=rf"pretrain@rooms-view-0: .* before {MODULE} was edited"):
        folder()
    assert main(["accept-code", *named]) == 0
    assert (folder() / "step-1").is_file()


def test_another_training_is_accepted(edit: Callable) -> None:
    (folder() / "step-1").touch()
    edit()
    assert main(["accept-code", "pretrain@rooms-view-1"]) == 0
    with pytest.raises(StageError, match="accept-code pretrain@rooms-view-0"):
        folder()


def test_an_edit_that_is_undone(edit: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder() / "step-1").touch()
    edit()
    with pytest.raises(StageError, match="undo the edit"):
        folder()
    monkeypatch.setattr(training_run, "fingerprint", lambda stage: AS_IT_IS | {MODULE: "before"})
    assert (folder() / "step-1").is_file()


def test_a_note_that_is_lost(edit: Callable) -> None:
    (folder() / "step-1").touch()
    (folder() / layout.CODE_OF_CHECKPOINTS).unlink()
    edit()
    with pytest.raises(StageError, match="by code that is not noted"):
        folder()
    assert main(["accept-code"]) == 0
    assert (folder() / "step-1").is_file()


def test_an_edit_before_the_first_checkpoint_is_none(edit: Callable) -> None:
    (folder() / ".code.json.leftover").touch()  # of a run that was killed
    edit()
    folder()


def test_only_the_first_of_several_processes_looks(
    edit: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder() / "step-1").touch()
    edit()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("RANK", "1")
    folder()
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(StageError):
        folder()


def test_accepted_twice(capsys: pytest.CaptureFixture[str]) -> None:
    (folder() / "step-1").touch()
    assert main(["accept-code"]) == 0
    assert MODULE in capsys.readouterr().out
    assert main(["accept-code"]) == 0
    assert not capsys.readouterr().out
