"""DVC's view of the clone as a run needs it: with the run's params, on whatever node it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dvc.fs import LocalFileSystem
from dvc.repo import Repo

from pipeline.config import params_path


class _RunFiles(LocalFileSystem):
    """The files of the clone, with the params that the run started with as params.yaml."""

    def open(self, path: str, mode: str = "r", **options: Any) -> Any:
        """Open a file."""
        if mode == "r" and Path(path).absolute() == Path("params.yaml").absolute():
            path = str(params_path())
        return super().open(path, mode=mode, **options)


@contextmanager
def open_repo() -> Iterator[Repo]:
    """Open the clone's DVC repository.

    What DVC records through it are the params of this run, whatever became of params.yaml since.

    Yields:
        A repository that waits for the lock of the clone, which DVC holds for moments only.
    """
    with TemporaryDirectory() as private, Repo(fs=_RunFiles(), _wait_for_lock=True) as repo:
        # DVC locks the files of a stage that runs by process ids, which mean nothing on another
        # node: it takes the lock of a living process there for a stale one and removes it, and
        # then the run it belonged to fails at its end. `run-stage` has locks that know better.
        repo.tmp_dir = private
        yield repo
