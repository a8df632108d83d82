"""Atomic writes: a file under its final name is always whole, and one run at a time makes it."""

import errno
import fcntl
import json
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

#: Names of `atomic_path`'s temporary files: `.frames.x1y2z3a4.tmp.parquet`.
_TEMPORARY = re.compile(r"\.(.*)\.\w{8}\.tmp(\.\w+)?")

#: Seconds between looks at a lock that is waited for.
_LOOK_INTERVAL_S = 1.0

_ANOTHER_FOLDER = "choose a folder that can be written to, or get the permission to write to it"
_MORE_ROOM = "make room on that disk, then run the same again"
_REMEDIES = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _ANOTHER_FOLDER),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _MORE_ROOM),
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR, errno.EISDIR), "move away what is in its place"),
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EIO: "the disk reports a fault; choose another folder",
}


class WriteError(OSError):
    """A file that cannot be written; the text names the file, the cause and the remedy."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the operating system says about a disk or a folder into a WriteError.

    Args:
        path: What is being written.

    Raises:
        WriteError: it cannot be.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _REMEDIES:
            raise
        cause = os.strerror(error.errno)
        raise WriteError(f"{path}: cannot be written: {cause}; {_REMEDIES[error.errno]}") from error


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        WriteError: it cannot be made; a link to nothing in its place is named.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError) as error:
        for path in (folder, *folder.parents):
            if path.is_symlink() and not path.exists():
                raise WriteError(
                    f"{path}: is a link to {os.readlink(path)}, which does not exist; make that "
                    "folder, or remove the link"
                ) from error
        if isinstance(error, FileExistsError):
            raise
        raise WriteError(f"{folder}: no such folder can be made; {_ANOTHER_FOLDER}") from error


def lock(handle: int) -> bool | None:
    """Lock an open file until it is closed or its process dies.

    Returns:
        True: locked; False: another process holds it; None: a file system without locks.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path` and rename it to `path` on success.

    Args:
        path: Final file path; missing parent folders are made.

    Yields:
        A path in the same folder (same file system, so the rename is atomic). It keeps the
        suffix of `path`, because some writers choose the format from it.

    Raises:
        WriteError: the folder cannot be written to, or the disk is full.
    """
    final = Path(path)
    with explained(final):
        _make_folder(final.parent)
        handle, name = tempfile.mkstemp(f".tmp{final.suffix}", f".{final.stem}.", final.parent)
        temporary = Path(name)
        try:
            lock(handle)  # tells `exclusive` that it is no leftover
            yield temporary
            # mkstemp makes 0600 files; artifacts are shared with the group on clusters.
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            os.replace(temporary, final)
        finally:
            temporary.unlink(missing_ok=True)
            os.close(handle)


def this_process() -> str:
    """Who works here, for the messages of others."""
    return f"process {os.getpid()} on {socket.gethostname()}"


@contextmanager
def exclusive(folder: Path, stem: str = "", wait: bool = False) -> Iterator[None]:
    """Let one run at a time work in a folder, after removing what killed runs left there.

    Where the file system has no locks, nothing is checked and nothing removed.

    Args:
        folder: Made if it is missing, removed if nothing is in it at the end.
        stem: Stem of the only file that the run makes, if that has a lock of its own: the run may
            then be at work beside one that holds the folder's lock.
        wait: For a run that is at work there, instead of stopping.

    Raises:
        WriteError: another run is at work there, or the folder cannot be written to.
    """
    path = _lock_file(folder, stem)
    with explained(path):
        handle = _open_locked(path, folder / stem, wait)
    try:
        _remove_leftovers(folder, stem)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)
        with suppress(OSError):
            folder.rmdir()


def _lock_file(folder: Path, stem: str) -> Path:
    return folder / (f".{stem}.lock" if stem else ".lock")


def _open_locked(path: Path, place: Path, wait: bool) -> int:
    told = False
    while True:
        _make_folder(path.parent)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            continue  # a run that made nothing has just removed the folder
        if lock(handle) is False:
            other = os.pread(handle, 200, 0).decode(errors="replace") or "unknown"
            os.close(handle)
            message = f"{place}: another run is at work there; wait until it ends ({other})"
            if not wait:
                raise WriteError(message)
            if not told:
                print(message.replace("wait until", "waiting until"), flush=True)
            told = True
            time.sleep(_LOOK_INTERVAL_S)
        elif os.fstat(handle).st_nlink:
            with suppress(OSError):  # a full disk
                os.ftruncate(handle, 0)
                os.pwrite(handle, this_process().encode(), 0)
            return handle
        else:
            os.close(handle)  # its last holder has just removed it


def _remove_leftovers(folder: Path, stem: str) -> None:
    for path in folder.iterdir():
        if not (found := _TEMPORARY.fullmatch(path.name)):
            continue
        # A file with a lock of its own is left to the runs that take that lock.
        is_ours = found[1] == stem if stem else not _lock_file(folder, found[1]).exists()
        if is_ours:
            # Another process may finish its file meanwhile; that of another user is not ours.
            with suppress(OSError), path.open("rb+") as file:
                if lock(file.fileno()):
                    path.unlink()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write `content` as indented JSON with sorted keys, atomically."""
    write_text(path, json.dumps(content, indent=1, sort_keys=True) + "\n")
