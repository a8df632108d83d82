"""Snakemake's lock of the clone, as killed runs leave it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.atomic import this_process
from pipeline.stages import snakemake_lock
from pipeline.stages.common import StageError

OTHER_RUN = """
import sys
from pathlib import Path
from pipeline.stages.snakemake_lock import enter

print(enter(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """.snakemake with a lock of a run."""
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks/0.output.lock").touch()
    yield tmp_path
    snakemake_lock.leave()


def is_locked(folder: Path) -> bool:
    return (folder / "locks/0.output.lock").exists()


def test_lock_of_a_killed_run_is_removed(folder, capfd):
    (folder / "run.lock").write_text(f"process 1 on {socket.gethostname()}")
    assert snakemake_lock.enter(folder)
    assert not is_locked(folder)
    assert "removed the locks of a run that was killed (process 1 on " in capfd.readouterr().err
    assert (folder / "run.lock").read_text() == this_process()


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_jobs_of_a_killed_run_are_not_submitted_again(folder, monkeypatch, where):
    """squeue says which folder each of the user's jobs was submitted from."""
    squeue = folder / "bin" / "squeue"
    squeue.parent.mkdir()
    submitted_from = folder.parent if where == "here" else folder
    squeue.write_text(f"#!/bin/sh\necho '17 {submitted_from}'\necho '4 /somewhere else'\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", str(squeue.parent), prepend=os.pathsep)
    (folder / "run.lock").write_text(f"process 1 on {socket.gethostname()}")
    if where == "elsewhere":
        assert snakemake_lock.enter(folder)
        return
    with pytest.raises(StageError, match=r"1 of its jobs .* `scancel 17`"):
        snakemake_lock.enter(folder)
    assert is_locked(folder)


@pytest.mark.parametrize("last", ["process 1 on another-node", ""])
def test_lock_of_a_run_elsewhere_is_the_users_business(folder, capfd, last):
    """Whether that run is dead cannot be known here, nor at the second look."""
    (folder / "run.lock").write_text(last)
    for _ in range(2):
        assert not snakemake_lock.enter(folder)
        assert is_locked(folder)
        assert f"({last or 'unknown'})" in (error := capfd.readouterr().err)
        assert "`snakemake --unlock`" in error
        snakemake_lock.leave()


def test_lock_of_a_living_run_is_kept(folder, capfd):
    """Of several even: the first of them may have ended."""
    (folder / "run.lock").write_text(f"process 1 on {socket.gethostname()}")
    command = [sys.executable, "-c", OTHER_RUN, str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "True\n"
        (folder / "locks/0.output.lock").touch()
        assert not snakemake_lock.enter(folder)
        assert is_locked(folder)
        assert f"(process {other.pid} on " in capfd.readouterr().err
        other.kill()
    assert not snakemake_lock.enter(folder)  # beside the one above
    assert is_locked(folder)


def test_file_system_without_locks(folder, capfd, monkeypatch):
    """Nothing is known, so nothing is done."""

    def no_locks(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("fcntl.flock", no_locks)
    (folder / "run.lock").write_text(f"process 1 on {socket.gethostname()}")
    assert snakemake_lock.enter(folder)
    assert is_locked(folder)
    assert capfd.readouterr().err == ""
