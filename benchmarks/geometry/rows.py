"""One line of the table, and how lines are shown and stored."""

import datetime
import importlib.metadata
import json
import os
import platform
from dataclasses import asdict, dataclass
from itertools import compress
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline.atomic import write_json

#: Section of the measurements file, and what fills it.
SECTION, COMMAND = "geometry", "python -m benchmarks.geometry --raw ../shared/sequences"
_VERSIONS = ("numba", "numpy", "open3d-cpu", "opencv-python-headless", "pyarrow", "torch")


class SkippedError(Exception):
    """Rows that cannot be measured here; the text says what is missing."""


@dataclass(frozen=True)
class Row:
    """One measured comparison.

    Attributes:
        what: What was done.
        unit: Of `ours` and `baseline`.
        ours: What this pipeline needs.
        baseline: What the baseline needs; None where a limit stands alone.
        at_least: Smallest baseline / ours that is wanted.
        at_most: Largest `ours` that is wanted, or largest ours / baseline if there is one.
        is_equal: Whether the results are the baseline's, without which no target is met; None
            where they are not compared.
        compilation: Whether numba's compilation is counted.
        note: What the figures cover.
    """

    what: str
    unit: str
    ours: float
    baseline: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    is_equal: bool | None = None
    compilation: str = "not counted"
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """baseline / ours; its inverse where the target is a largest share of the baseline."""
        if self.baseline is None:
            return None
        return self.ours / self.baseline if self.at_most else self.baseline / self.ours

    @property
    def target(self) -> str:
        """The target as text; empty if the row only informs."""
        if self.at_least is not None:
            return f"at least {self.at_least:g}x"
        if self.at_most is not None:
            return f"at most {self.at_most:g}" + ("x" if self.baseline else f" {self.unit}")
        return ""

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met, with equal results; None without one."""
        if self.is_equal is False:
            return False
        if self.at_least is not None:
            return self.ratio is not None and self.ratio >= self.at_least
        if self.at_most is not None:
            return (self.ours if self.ratio is None else self.ratio) <= self.at_most
        return None

    @property
    def cells(self) -> tuple[str, ...]:
        """The columns of the table as text."""
        met = {True: "yes", False: "NO", None: ""}[self.is_met]
        return (
            self.what,
            "" if self.baseline is None else f"{self.baseline:.4g}",
            f"{self.ours:.4g}",
            self.unit,
            "" if self.ratio is None else f"{self.ratio:.3g}x",
            self.target,
            met,
            self.compilation,
        )


_COLUMNS = ("what", "baseline", "ours", "unit", "ratio", "target", "met", "compilation")
#: Of a table that goes to a file: wide enough for one line a row.
_FILE_WIDTH = 200


def print_line(row: Row) -> None:
    """Print a row as soon as it is there, as plain text."""
    print(" | ".join(cell for cell in (*row.cells, row.note) if cell), flush=True)


def print_table(rows: list[Row]) -> None:
    """Print all rows as a table with its notes below."""
    console = Console(width=None if Console().is_terminal else _FILE_WIDTH, highlight=False)
    filled = [any(cells) for cells in zip(*(row.cells for row in rows), strict=True)]
    table = Table("", *compress(_COLUMNS, filled), title=machine())
    for number, row in enumerate(rows, 1):
        style = {True: "green", False: "red", None: None}[row.is_met]
        table.add_row(str(number), *compress(row.cells, filled), style=style)
    console.print(table)
    for number, row in enumerate(rows, 1):
        console.print(f"{number:2d}  {row.note}", markup=False)


def machine() -> str:
    """Processor and number of cores that this process may use."""
    names = (
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    cores = len(os.sched_getaffinity(0))
    return f"{next(names, platform.machine())}, {cores} cores, Python {platform.python_version()}"


def record(
    path: Path,
    rows: list[Row],
    section: str = SECTION,
    command: str = COMMAND,
    packages: tuple[str, ...] = _VERSIONS,
) -> None:
    """Store rows in the measurements file; what was not measured now stays, with its own date."""
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    today = datetime.date.today().isoformat()
    stored = {row["what"]: row for row in content.get(section, {}).get("rows", [])}
    stored |= {row.what: {"date": today, **_plain(row)} for row in rows}
    content[section] = {
        "command": command,
        "machine": machine(),
        "date": today,
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "rows": list(stored.values()),
    }
    write_json(path, content)


def _plain(row: Row) -> dict[str, object]:
    values = asdict(row) | {"ratio": row.ratio, "target": row.target, "is_met": row.is_met}
    return {
        key: float(f"{value:.4g}") if isinstance(value, float) else value
        for key, value in values.items()
    }
