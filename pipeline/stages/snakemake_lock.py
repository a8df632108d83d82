"""Snakemake's lock of the clone: who holds it, and when it is left over from a killed run."""

import fcntl
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from pipeline.atomic import lock, this_process
from pipeline.stages.common import StageError

#: Open until the process ends: that its lock is gone tells the next run that this one is, too.
_held: list[int] = []


def enter(folder: Path = Path(".snakemake")) -> bool:
    """Register this run of Snakemake until its end, and free the clone from a killed one's lock.

    Snakemake locks a clone by files, which stay when it is killed. Every run therefore holds a
    lock of the operating system as well, which nothing can leave behind. Where it says that no
    run is left, and the last one was on this machine, the files are removed. If it was on another
    one, the user is told: whether locks reach other machines is up to the file system.

    Args:
        folder: Snakemake's own.

    Returns:
        Whether no other run can be going on here; True where the file system has no locks.

    Raises:
        StageError: the killed run has left jobs in Slurm, which would do everything twice.
    """
    folder.mkdir(exist_ok=True)
    file = folder / "run.lock"
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        return False  # another user's
    _held.append(handle)
    is_alone = lock(handle)
    last, left = file.read_text(), sorted((folder / "locks").glob("*.lock"))
    if is_alone is False:
        _tell(f"another run goes on in this folder ({last}); what it works on is left to it")
    elif is_alone and left and not last.endswith(f" on {socket.gethostname()}"):
        _tell(
            f"the last run here ({last or 'unknown'}) has not ended, or was killed; if it was, "
            "`snakemake --unlock` removes its locks"
        )
        is_alone = False
    elif is_alone:
        if left:
            _check_no_jobs_left(folder.resolve().parent, last)
        for path in left:
            path.unlink(missing_ok=True)
        if left:
            _tell(f"removed the locks of a run that was killed ({last})")
        with suppress(OSError):  # a full disk
            os.ftruncate(handle, 0)
            os.pwrite(handle, this_process().encode(), 0)
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_SH)
    return is_alone is not False


def leave() -> None:
    """End the registration of `enter`: a dry run that has planned may stay open in a pager."""
    while _held:
        os.close(_held.pop())


def _check_no_jobs_left(clone: Path, last: str) -> None:
    """StageError if Slurm still has jobs of a killed run: they are known by their folder."""
    command = ["squeue", "--me", "--noheader", "--format=%i %Z"]
    try:
        shown = subprocess.run(command, text=True, capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return  # no Slurm
    words = (line.split(maxsplit=1) for line in shown.stdout.splitlines())
    if jobs := [word[0] for word in words if word[1:] == [str(clone)]]:
        raise StageError(
            f"a run of Snakemake was killed here ({last}), but {len(jobs)} of its jobs are still "
            f"in Slurm. Wait until they have ended, or `scancel {' '.join(jobs)}`; then start "
            "again. What they have finished is kept"
        )


def _tell(text: str) -> None:
    print(f"snakemake: {text}", file=sys.stderr, flush=True)
