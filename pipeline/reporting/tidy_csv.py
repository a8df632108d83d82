"""Result tables as csv: everything that was measured, for pandas and DuckDB."""

import csv
import io
from collections.abc import Sequence

from pipeline.reporting.tables import TableRecord

COLUMNS = (
    *("table", "row", "column", "slug", "part", "against", "protocol", "task"),
    *("scene", "metric", "which", "mean", "std", "n", "values", "missing"),
    *("paper_value", "paper_place", "dataset", "params"),
)


def to_csv(records: Sequence[TableRecord], dataset: str, params_hash: str) -> str:
    """Tidy csv: one line per record, full precision, empty where there is no number.

    `values` and `missing` hold `seed=value` and `seed=reason`, separated by semicolons.

    Args:
        records: From `tables.table_records`.
        dataset: On which they were measured.
        params_hash: From `tables.results_hash`.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for record in records:
        cell, source = record.cell, record.source
        writer.writerow(
            {
                "table": record.table,
                "row": record.row,
                "column": record.column,
                "slug": source.row,
                "part": source.part,
                "against": source.against,
                "protocol": source.protocol,
                "task": source.task,
                "scene": record.scene,
                "metric": record.metric,
                "which": record.which,
                "mean": cell.mean,
                "std": cell.std,
                "n": len(cell.values),
                "values": "; ".join(f"{seed}={value!r}" for seed, value in cell.values.items()),
                "missing": "; ".join(f"{seed}={why}" for seed, why in cell.missing.items()),
                "paper_value": record.paper_value,
                "paper_place": record.paper_place,
                "dataset": dataset,
                "params": params_hash,
            }
        )
    return text.getvalue()
