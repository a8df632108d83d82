"""dvc.lock while another run writes into it."""

from pathlib import Path
from threading import Timer

import pytest

from pipeline.stages import dvc_bridge
from pipeline.stages.common import StageError
from pipeline.stages.dvc_bridge import load_stages, lock_entries
from pipeline.stages.dvc_repo import open_repo

WHOLE = "schema: '2.0'\nstages:\n  a:\n    cmd: x\n  b:\n    cmd: y\n"


@pytest.fixture(autouse=True)
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "dvc.lock"


@pytest.mark.parametrize("cut", ["", "schema: '2.0'\nstages:\n  a:\n    cm", WHOLE[:-18]])
def test_it_is_waited_for(lock: Path, cut: str) -> None:
    """Empty, unreadable, or readable but without the stage that DVC has just recorded."""
    lock.write_text(cut)
    writer = Timer(0.6, lock.write_text, [WHOLE])
    writer.start()
    assert lock_entries(expected="b").keys() == {"a", "b"}
    writer.join()


@pytest.mark.parametrize("text", ["stages: [", "just words", "stages: 3", "a: 1\na: 2"])
def test_what_stays_damaged_is_named(
    lock: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dvc_bridge, "_LOCK_PAUSE_S", 0)
    lock.write_text(text)
    with pytest.raises(
        StageError, match=r"dvc\.lock is damaged.*git checkout dvc\.lock.*or delete"
    ):
        lock_entries()


def test_stages_are_read_while_nobody_writes(lock: Path) -> None:
    """DVC's own reader waits for nothing; its writers have the lock of the clone."""
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text("[core]\n    no_scm = True\n")
    Path("dvc.yaml").write_text("stages:\n  a:\n    cmd: x\n  b:\n    cmd: y\n")
    with open_repo() as writing:
        writing.lock.lock()
        lock.write_text("schema: '2.0'\nstages:\n  a:\n")

        def finish() -> None:
            lock.write_text(WHOLE)
            writing.lock.unlock()

        writer = Timer(0.6, finish)
        writer.start()
        assert load_stages().keys() == {"a", "b"}
        writer.join()


def test_stages_that_never_ran() -> None:
    assert lock_entries() == {}
