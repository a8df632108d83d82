"""dvc.lock while another run writes into it."""

from pathlib import Path
from threading import Timer

import pytest

from pipeline.stages import dvc_bridge
from pipeline.stages.common import StageError
from pipeline.stages.dvc_bridge import lock_entries

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


def test_stages_that_never_ran() -> None:
    assert lock_entries() == {}
