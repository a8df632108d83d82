"""Valid artifacts of the analytic room, and one thing in them changed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.reporting.validation import check_file
from pipeline.reporting.validation.scene import StoredScene
from pipeline.schemas import SCHEMAS, open_artifact, stored_metadata, write_table

#: Row groups of a table, each a list of rows.
Groups = list[list[dict[str, Any]]]
Change = Callable[[Groups], object]


def copy_scene(artifacts_dir: Path, tmp_path: Path) -> Path:
    """A copy of the room's artifact folder that may be changed."""
    return Path(shutil.copytree(artifacts_dir / "room", tmp_path / artifacts_dir.name / "room"))


def rewrite(folder: Path, kind: str, change: Change, **metadata: str | None) -> None:
    """Write a table again, with other rows or metadata (None: without that key)."""
    file = folder / f"{kind}.parquet"
    parquet = open_artifact(file, kind)
    groups = [parquet.read_row_group(i).to_pylist() for i in range(parquet.num_row_groups)]
    stored = stored_metadata(parquet)
    change(groups)
    kept = {k: v for k, v in {**stored, **metadata}.items() if v is not None}
    tables = [pa.Table.from_pylist(rows, schema=SCHEMAS[kind]) for rows in groups]
    write_table(file, kind, tables, lambda: kept)


def keep(_: Groups) -> None:
    """The change that changes no row."""


def violations(folder: Path, kind: str) -> list[str]:
    """What the check of one kind says."""
    return [str(violation) for violation in check_file(StoredScene(folder), kind)[0].violations]


def setting(group: int, row: int, **values: Any) -> Change:
    """The change that gives other values to one row."""

    def change(groups: Groups) -> None:
        groups[group][row].update(values)

    return change


def one_violation(folder: Path, kind: str, change: Change, expected: str) -> None:
    """Change a valid table; assert that exactly one violation is found, and says `expected`."""
    assert violations(folder, kind) == []
    rewrite(folder, kind, change)
    found = violations(folder, kind)
    assert len(found) == 1, found
    assert found[0].startswith(f"{kind}.parquet, ")
    assert expected in found[0]
