"""Artifacts that are opened once and read row group by row group."""

from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.schemas import open_artifact

#: Artifacts that one process holds open; the system's limit for all files is often 1,024.
_MAX_OPEN = 128


def open_table(path: Path, kind: str) -> pq.ParquetFile:
    """An artifact whose footer is parsed and checked only once while it is in use.

    Args:
        path: The file.
        kind: Its artifact kind.

    Raises:
        ArtifactError: missing, unreadable, or of another kind or schema version.
    """
    try:
        status = path.stat()
    except OSError:
        return open_artifact(path, kind)  # says what is wrong
    return open_version(path, kind, status.st_ino, status.st_mtime_ns)


@lru_cache(_MAX_OPEN)
def open_version(path: Path, kind: str, inode: int, mtime_ns: int) -> pq.ParquetFile:
    """An artifact as it was written at a time: a file made again is another one."""
    return open_artifact(path, kind)


def read_group(path: Path, kind: str, group: int, columns: list[str]) -> pa.Table:
    """Columns of one row group. Without threads: the data loader's processes share the cores."""
    return open_table(path, kind).read_row_group(group, columns=columns, use_threads=False)
