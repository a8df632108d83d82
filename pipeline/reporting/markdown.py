"""Result tables as Markdown, aligned to be read as text."""

from collections import Counter
from collections.abc import Mapping, Sequence

from pipeline.config import Params
from pipeline.reporting.captions import BEST, LAST, caption
from pipeline.reporting.frame_counts import describe_counts
from pipeline.reporting.grid import EMPTY, published_text, score_grid
from pipeline.reporting.results import ALL_SCENES, Cell, Results
from pipeline.reporting.table_specs import TABLES
from pipeline.reporting.tables import TableRecord


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], n_left: int) -> str:
    """Pipe table with aligned columns, the first `n_left` left-aligned, the others right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if i < n_left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [
        ":" + "-" * (width - 1) if i < n_left else "-" * (width - 1) + ":"
        for i, width in enumerate(widths)
    ]
    return "\n".join([line(header), line(rule), *map(line, rows)])


def format_cell(cell: Cell) -> str:
    """ "-12.34 ± 0.56 (n=2)"; without any value why there is none: "not run", "no labels"."""
    if cell.mean is None:
        return "; ".join(sorted(set(cell.missing.values())))
    spread = f" ± {cell.std:.2f}" if cell.std is not None else ""
    lost = "".join(f"; seed {seed}: {why}" for seed, why in cell.missing.items())
    return f"{cell.mean:.2f}{spread} (n={len(cell.values)}{lost})"


def _score_table(table: str, records: Sequence[TableRecord], which: str) -> str:
    """Lines = rows; per column the measured and, for `best`, the published number."""
    grid = score_grid(table, records, which)
    kinds = ("measured", "PUBLISHED") if which == "best" else ("measured",)
    header = ["protocol"] * grid.has_blocks + ["pretraining"]
    header += [f"{title}: {kind}" for title in grid.titles for kind in kinds]
    rows = []
    for line in grid.lines:
        row = [line.block] * grid.has_blocks + [line.row]
        for record in line.records:
            if record is None:
                row += [EMPTY] * len(kinds)
            else:
                row += [format_cell(record.cell), published_text(record)][: len(kinds)]
        rows.append(row)
    return markdown_table(header, rows, 1 + grid.has_blocks)


def _scene_section(records: Sequence[TableRecord]) -> list[str]:
    """Best scores by scene, for data whose scenes are held out in part; a task without labels in a
    scene has no column, and a sentence says so."""
    shown = [
        record
        for record in records
        if record.which == "best" and record.tabulated and record.scene != ALL_SCENES
    ]
    if not shown:
        return []
    columns = dict.fromkeys((record.scene, record.title) for record in shown)
    measured = {(record.scene, record.title) for record in shown if record.cell.values}
    header = ["protocol", "pretraining"]
    header += [f"{scene}: {title}" for scene, title in sorted(measured)]
    rows: dict[tuple[str, str], dict[tuple[str, str], str]] = {}
    for record in shown:
        row = rows.setdefault((record.block, record.row), {})
        row[record.scene, record.title] = format_cell(record.cell)
    lines = [
        [*name, *(row.get(column, EMPTY) for column in sorted(measured))]
        for name, row in rows.items()
    ]
    missing = [f"{scene}: {title}" for scene, title in columns if (scene, title) not in measured]
    note = f"No column, since there are no labels or no run: {', '.join(sorted(missing))}."
    return [
        "## Best validation value by scene",
        "The networks are the same as above, trained on the frames of all scenes."
        + (f" {note}" if missing else ""),
        markdown_table(header, lines, 2),
    ]


def render(
    params: Params,
    table: str,
    results: Results,
    records: Sequence[TableRecord],
    frames: Mapping[str, Counter[str]],
    figures: Mapping[str, str],
) -> str:
    """The whole Markdown page.

    Args:
        params: The run's params.
        table: Key of `table_specs.TABLES`.
        results: The runs.
        records: What `tables.table_records` made of them.
        frames: What the frames are for ("pretraining", "finetuning") -> frames by status.
        figures: File name -> caption of the pictures beside the page.
    """
    counts = [[purpose, describe_counts(statuses)] for purpose, statuses in frames.items()]
    parts = [
        f"# {TABLES[table].title}, measured on {params.dataset.name}",
        "\n".join(f"- {line}" for line in caption(params, table, results)),
        f"## {BEST.heading}",
        BEST.meaning,
        _score_table(table, records, "best"),
        f"## {LAST.heading}",
        _score_table(table, records, "last"),
        *_scene_section(records),
        "## Frames",
        markdown_table(["used for", "frames"], counts, 2),
        *(f"## {text}\n\n![{text}]({name})" for name, text in figures.items()),
    ]
    return "\n\n".join(parts) + "\n"
