"""The papers' published numbers, as package data."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class ReferenceTable:
    """One table, or block of a table, as a paper prints it.

    Attributes:
        table_id: such as "000.t1.frozen": paper, table, block.
        paper: such as "paper 000".
        where: place in the paper.
        datasets: what its numbers were measured on.
        metric: what they are, with unit.
        notes: on the printed numbers; may be empty.
        rows: row labels.
        columns: column labels.
        values: row, column -> number; None where the paper prints none.
    """

    table_id: str
    paper: str
    where: str
    datasets: tuple[str, ...]
    metric: str
    notes: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]

    def value(self, row: str, column: str) -> float | None:
        """Published number; None where the paper has no such row or prints none.

        Raises:
            KeyError: the table has no such column.
        """
        if column not in self.columns:
            raise KeyError(f"{self.table_id} has no column {column!r}: {', '.join(self.columns)}")
        if row not in self.rows:
            return None
        return self.values[self.rows.index(row)][self.columns.index(column)]

    def is_left_empty(self, row: str, column: str) -> bool:
        """Whether the paper has the cell, without a number."""
        return row in self.rows and self.value(row, column) is None

    @property
    def decimals(self) -> int:
        """Digits after the point that the paper prints."""
        numbers = (value for row in self.values for value in row if value is not None)
        return max(len(repr(float(number)).partition(".")[2]) for number in numbers)


@cache
def reference_tables() -> dict[str, ReferenceTable]:
    """All published tables of papers 000 and 001 by id.

    Source: papers 000 and 001; reference_tables.json was checked against their text.
    """
    text = files("pipeline.reporting").joinpath("reference_tables.json").read_text("utf-8")
    return {
        table["id"]: ReferenceTable(
            table_id=table["id"],
            paper=table["paper"],
            where=table["where"],
            datasets=tuple(table["datasets"]),
            metric=table["metric"],
            notes=table["notes"],
            rows=tuple(table["rows"]),
            columns=tuple(table["columns"]),
            values=tuple(tuple(row) for row in table["values"]),
        )
        for table in json.loads(text)["tables"]
    }
