"""Paper 000's Table 1 for the data at hand: one record per cell, for csv and Markdown."""

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path

from pipeline import layout
from pipeline.config import Params
from pipeline.reporting.reference import reference_tables
from pipeline.reporting.results import (
    ALL_SCENES,
    PROTOCOLS,
    TASKS,
    Cell,
    Run,
    gather,
    read_run,
    scalar_metrics,
    variant_label,
)

#: The two scores that are recorded: see `TableRecord.which`.
WHICH = ("best", "last")


@dataclass(frozen=True)
class TableRecord:
    """One line of the csv: one metric of one cell over the seeds, and what the paper prints there.

    Attributes:
        table: published block that the cell stands in, such as "000.t1.frozen".
        protocol: frozen, half_frozen or full.
        variant: row label as the papers print it.
        task: depth, reconstruction or segmentation.
        scene: over whose validation frames; ALL_SCENES: pooled over all.
        metric: key in metrics.json.
        which: "best" validation value during training (as the paper), or "last": at its end.
        cell: measured values, seed by seed.
        paper_value: published number for the tabulated metric's `best`; None where there is none.
        paper_column: where the published number stands and on which data; empty without one.
        source: what was measured, on which data, with which params.
    """

    table: str
    protocol: str
    variant: str
    task: str
    scene: str
    metric: str
    which: str
    cell: Cell
    paper_value: float | None
    paper_column: str
    source: str

    @property
    def tabulated(self) -> bool:
        """Whether the Markdown table shows this metric."""
        return self.metric == TASKS[self.task][0]


def results_hash(params: Params) -> str:
    """First 12 hex digits of the sha256 of all params that the numbers depend on.

    Oversegmentation and sets are left out: no loss of Table 1 reads them.
    """
    content = params.model_dump(
        mode="json", exclude={"geometry": {"oversegmentation", "sets"}, "tables": True}
    )
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def read_runs(params: Params) -> dict[str, dict[int, Run]]:
    """Variant -> seed -> run, for every row and seed that the params ask for."""
    return {
        variant: {
            seed: read_run(
                layout.finetune_results(params.dataset.name, variant, seed) / "metrics.json"
            )
            for seed in params.seeds
        }
        for variant in params.rows
    }


def table1_records(params: Params, runs: Mapping[str, Mapping[int, Run]]) -> list[TableRecord]:
    """All cells of Table 1, in the paper's order; a missing run gives a cell without values.

    Args:
        params: Rows, seeds, protocols and tasks that the table has.
        runs: Variant -> seed -> run.

    Returns:
        Records by protocol, variant, task, which and metric.

    Source: paper 000, Table 1.
    """
    source = f"measured on {params.dataset.name}, params {results_hash(params)}"
    records = []
    for protocol in params.finetuning.protocols:
        block = reference_tables()[PROTOCOLS[protocol][1]]
        for variant, task, which in product(params.rows, params.finetuning.tasks, WHICH):
            of_seed = runs[variant]
            label = variant_label(params.variants[variant])
            tabulated, _, column = TASKS[task]
            for metric in scalar_metrics(of_seed, protocol, task, which):
                is_published = metric == tabulated and which == "best"
                published = block.value(label, column) if is_published else None
                where = f"{block.paper}, {block.where}: {column}" if published is not None else ""
                # Scenes that share their frames with training are few, and of interest one by one.
                for scene in (ALL_SCENES, *sorted(params.labelled.validation_frames)):
                    records.append(
                        TableRecord(
                            table=block.table_id,
                            protocol=protocol,
                            variant=label,
                            task=task,
                            scene=scene,
                            metric=metric,
                            which=which,
                            cell=gather(of_seed, protocol, task, which, metric, scene),
                            paper_value=published if scene == ALL_SCENES else None,
                            paper_column=where if scene == ALL_SCENES else "",
                            source=source,
                        )
                    )
    return records


#: Columns of the csv: those of `TableRecord`, with the cell spelled out.
CSV_COLUMNS = [
    name
    for field in fields(TableRecord)
    for name in (
        ("mean", "std", "n", "values", "missing") if field.name == "cell" else (field.name,)
    )
]


def to_csv(records: list[TableRecord]) -> str:
    """Tidy csv: one line per record, full precision, empty where there is no number.

    `values` and `missing` hold `seed=value` and `seed=reason`, separated by semicolons.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for record in records:
        cell = record.cell
        line = {field.name: getattr(record, field.name) for field in fields(record)}
        del line["cell"]
        line |= {
            "mean": cell.mean,
            "std": cell.std,
            "n": len(cell.values),
            "values": "; ".join(f"{seed}={value!r}" for seed, value in cell.values.items()),
            "missing": "; ".join(f"{seed}={why}" for seed, why in cell.missing.items()),
        }
        writer.writerow(line)
    return text.getvalue()


def table_files(dataset: str) -> dict[str, Path]:
    """What `make-tables` writes for table 000.t1: name -> path."""
    folder = layout.tables_dir(dataset)
    return {
        "csv": folder / "000_table1.csv",
        "markdown": folder / "000_table1.md",
        "reconstruction": folder / "figure3_reconstruction.png",
        "depth": folder / "figure4_depth.png",
    }
