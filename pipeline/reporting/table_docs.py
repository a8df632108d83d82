"""Which row of params.yaml stands where in the papers' tables, for docs/reproduction.md."""

from pipeline.reporting.markdown import markdown_table
from pipeline.reporting.results import MEAN_PREDICTOR
from pipeline.reporting.table_needs import measured_sources
from pipeline.reporting.table_specs import TABLES


def _places() -> dict[str, dict[str, str]]:
    """Slug -> table -> label of the row there; a slug of several cells in a table counts once."""
    places: dict[str, dict[str, str]] = {}
    for table, spec in TABLES.items():
        measured = set(measured_sources(spec))
        for _, row, column, source in spec.sources():
            if source in measured:
                titles = {each.slug(row.row) for each in spec.columns}
                label = row.label if len(titles) == 1 else f"{row.label}, {column.title}"
                places.setdefault(source.row, {}).setdefault(table, label)
                if source.against:
                    places.setdefault(source.against, {}).setdefault(table, f"base of {row.label}")
    places.pop(MEAN_PREDICTOR, None)
    return places


def rows_markdown() -> str:
    """Table of all rows: slug, and the label in each table."""
    lines = [
        [f"`{slug}`", "; ".join(f"{table}: {label}" for table, label in of_tables.items())]
        for slug, of_tables in _places().items()
    ]
    return markdown_table(["row of params.yaml", "in the tables"], lines, 2)
