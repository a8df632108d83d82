"""Records of a table as lines and columns, for Markdown and LaTeX alike."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.reporting.reference import reference_tables
from pipeline.reporting.results import ALL_SCENES
from pipeline.reporting.table_specs import TABLES
from pipeline.reporting.tables import TableRecord

NOT_PUBLISHED = "not in the paper"
#: Of a cell that the paper leaves empty; nothing is measured there.
EMPTY = "-"


@dataclass(frozen=True)
class Line:
    """One row of a table.

    Attributes:
        block: words for the block.
        row: label as the paper prints it.
        records: one a column; None where the paper leaves the cell empty.
    """

    block: str
    row: str
    records: tuple[TableRecord | None, ...]


@dataclass(frozen=True)
class Grid:
    """The tabulated values of a table.

    Attributes:
        titles: of the columns.
        lines: top to bottom.
        has_blocks: whether the paper's table has several blocks, so that lines must name theirs.
    """

    titles: tuple[str, ...]
    lines: tuple[Line, ...]
    has_blocks: bool


def score_grid(table: str, records: Sequence[TableRecord], which: str) -> Grid:
    """The tabulated values over all validation frames.

    Args:
        table: Key of `table_specs.TABLES`.
        records: From `tables.table_records`.
        which: "best" or "last".
    """
    shown = [
        record
        for record in records
        if record.which == which and record.tabulated and record.scene == ALL_SCENES
    ]
    titles = dict.fromkeys(record.title for record in shown)
    rows: dict[tuple[str, str], dict[str, TableRecord]] = {}
    for record in shown:
        rows.setdefault((record.block, record.row), {})[record.title] = record
    return Grid(
        tuple(titles),
        tuple(
            Line(block, row, tuple(cells.get(title) for title in titles))
            for (block, row), cells in rows.items()
        ),
        has_blocks=len(TABLES[table].blocks) > 1,
    )


def published_text(record: TableRecord) -> str:
    """The published number with as many digits as the paper prints."""
    if record.paper_value is None:
        return NOT_PUBLISHED
    return f"{record.paper_value:.{reference_tables()[record.table].decimals}f}"
