"""Snakemake's lock of the clone: who holds it, and when it is left over from a killed run."""

import fcntl
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

from pipeline.atomic import lock, this_process

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
        Whether no other run is going on here; True where the file system has no locks.
    """
    folder.mkdir(exist_ok=True)
    file = folder / "run.lock"
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        return True  # Snakemake names what may not be written
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
    elif is_alone:
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


def _tell(text: str) -> None:
    print(f"snakemake: {text}", file=sys.stderr, flush=True)
