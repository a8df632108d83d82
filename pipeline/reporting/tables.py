"""A table of the papers for the data at hand: one record per cell and metric."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline import layout
from pipeline.config import OF_NO_RESULT, Params
from pipeline.config.pretraining import THEN
from pipeline.reporting.labels import row_label
from pipeline.reporting.reference import ReferenceTable, reference_tables
from pipeline.reporting.results import ALL_SCENES, TASKS, Cell, Results, scalar_metrics, trained_as
from pipeline.reporting.table_specs import TABLES, Row, Source, TableSpec

#: The two scores that are recorded: see `TableRecord.which`.
WHICH = ("best", "last")
#: Metric of a cell that compares two rows.
RELATIVE_CHANGE = "relative_change"
FORMATS = ("csv", "md", "tex")


@dataclass(frozen=True)
class TableRecord:
    """One line of the csv: one metric of one cell over the seeds, and what the paper prints there.

    Attributes:
        table: published block that the cell stands in, such as "000.t1.frozen".
        block: the block in words.
        row: label as the paper prints it.
        column: label as reference_tables.json has it.
        title: of the column, as printed here.
        source: what the cell is measured with.
        scene: over whose validation frames; ALL_SCENES: pooled over all.
        metric: key in metrics.json, or RELATIVE_CHANGE in percent.
        which: "best" validation value during training (as the papers), or "last": at its end.
        tabulated: whether the Markdown table shows this metric.
        cell: measured values, seed by seed.
        paper_value: published number for the tabulated metric's `best`; None where there is none.
        paper_place: where the published number stands and on which data; empty without one.
    """

    table: str
    block: str
    row: str
    column: str
    title: str
    source: Source
    scene: str
    metric: str
    which: str
    tabulated: bool
    cell: Cell
    paper_value: float | None
    paper_place: str


def results_hash(params: Params) -> str:
    """First 12 hex digits of the sha256 of all params that the numbers depend on.

    Oversegmentation and sets are left out where no row contrasts sets.
    """
    left_out = ["tables", "claims", *OF_NO_RESULT]
    last = {row.rpartition(THEN)[2] for row in params.all_rows}
    variants = [variant for name, variant in params.variants.items() if name in last]
    if not any("set" in variant.losses for variant in variants):
        left_out += ["geometry.oversegmentation", "geometry.sets"]
    content = params.model_dump(mode="json")
    for key in left_out:
        *sections, name = key.split(".")
        section = content
        for each in sections:
            section = section[each]
        del section[name]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def shown_rows(params: Params) -> set[str]:
    """Rows that the tables of these params have cells of."""
    return {
        trained_as(params, slug)
        for table in params.tables
        for *_, source in TABLES[table].sources()
        for slug in (source.row, source.against)
    }


def is_second_dataset(params: Params) -> bool:
    """Whether the networks were pretrained on another dataset than they are finetuned on."""
    return params.pretrained_on != params.dataset.name


def fit_spec(params: Params, table: str) -> TableSpec:
    """A table with the blocks and columns that the params ask for, and with rows of their own.

    The published columns are those of the kind of dataset at hand: see `TableSpec.on_second`.

    Args:
        params: The cells of their rows decide, if they leave anything of the table; otherwise all
            of it is "not run".
        table: Key of TABLES.
    """
    spec = TABLES[table].on_second() if is_second_dataset(params) else TABLES[table]
    asked = {cell for row in params.all_rows for cell in params.cells(row)}
    blocks = [each for each in spec.blocks if each.protocol in {protocol for protocol, _ in asked}]
    columns = [each for each in spec.columns if each.task in {task for _, task in asked}]
    if spec.takes_others:
        shown = shown_rows(params)
        others = tuple(
            Row(row_label(params, slug), slug) for slug in params.all_rows if slug not in shown
        )
        blocks = [replace(block, rows=(*block.rows, *others)) for block in blocks]
    return replace(
        spec, blocks=tuple(blocks) or spec.blocks, columns=tuple(columns) or spec.columns
    )


def relative_change(cell: Cell, base: Cell) -> Cell:
    """100 (value - base) / |base|, percent, of the seeds that both have."""
    values = {
        seed: 100 * (value - base.values[seed]) / abs(base.values[seed])
        for seed, value in cell.values.items()
        if seed in base.values
    }
    return Cell(values, {**base.missing, **cell.missing})


def table_records(params: Params, table: str, results: Results) -> list[TableRecord]:
    """All cells of a table, in the paper's order; a missing run gives a cell without values.

    A cell that the paper leaves empty is left out.

    Args:
        params: Rows, seeds, protocols and tasks that the table has.
        table: Key of TABLES.
        results: The runs.

    Returns:
        Records by block, row, column, which, metric and scene.
    """
    records = []
    for block, row, column, source in fit_spec(params, table).sources():
        reference = reference_tables()[block.reference]
        if reference.is_left_empty(row.label, column.label):
            continue
        for which, metric, scene, cell in _cells(params, source, results):
            is_tabulated = metric in (TASKS[source.task][0], RELATIVE_CHANGE)
            is_comparable = is_tabulated and which == "best" and scene == ALL_SCENES
            published = reference.value(row.label, column.label) if is_comparable else None
            records.append(
                TableRecord(
                    table=block.reference,
                    block=block.title,
                    row=row.label,
                    column=column.label,
                    title=column.title,
                    source=source,
                    scene=scene,
                    metric=metric,
                    which=which,
                    tabulated=is_tabulated,
                    cell=cell,
                    paper_value=published,
                    paper_place=_place(reference, column.label) if published is not None else "",
                )
            )
    return records


def _place(reference: ReferenceTable, column: str) -> str:
    return f"{reference.paper}, {reference.where}: {column} ({', '.join(reference.datasets)})"


def _cells(
    params: Params, source: Source, results: Results
) -> Iterator[tuple[str, str, str, Cell]]:
    """`which`, metric, scene and cell of everything that is recorded of a source."""
    protocol, task, part = source.protocol, source.task, source.part
    for which in WHICH:
        if source.against:
            cells = [
                results.cell(row, protocol, task, part=part, which=which)
                for row in (source.row, source.against)
            ]
            yield which, RELATIVE_CHANGE, ALL_SCENES, relative_change(*cells)
            continue
        for metric in scalar_metrics(results.runs(source.row, part), protocol, task, which):
            # Scenes that share their frames with training are few, and of interest one by one.
            for scene in (ALL_SCENES, *sorted(params.labelled.validation_frames)):
                cell = results.cell(
                    source.row, protocol, task, part=part, which=which, metric=metric, scene=scene
                )
                yield which, metric, scene, cell


def table_files(dataset: str, table: str) -> dict[str, Path]:
    """What `make-tables` writes for a table: format -> path."""
    folder = layout.tables_dir(dataset)
    return {suffix: folder / f"{TABLES[table].name}.{suffix}" for suffix in FORMATS}


def figure_files(dataset: str) -> dict[str, Path]:
    """Paper 000's Figures 3 and 4, which belong to its Table 1: task -> path."""
    folder = layout.tables_dir(dataset)
    return {
        "reconstruction": folder / "figure3_reconstruction.png",
        "depth": folder / "figure4_depth.png",
    }
