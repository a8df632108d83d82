"""What must be trained for which table, and what params ask for instead."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline.config import SEGMENTATION_ALONE, Params
from pipeline.config.pretraining import THEN
from pipeline.reporting.reference import reference_tables
from pipeline.reporting.results import (
    MEAN_PREDICTOR,
    PROTOCOLS,
    TASKS,
    has_cell,
    is_asked_for,
    trained_as,
)
from pipeline.reporting.table_specs import TABLES, Source, TableSpec
from pipeline.reporting.tables import fit_spec, shown_rows


@dataclass(frozen=True)
class Needs:
    """Lists of params.yaml; each in the order of the tables, but for protocols and tasks.

    Attributes:
        rows: `rows`.
        segmentation_rows: `segmentation_rows`.
        first_stage: `first_stage`.
        starts: `second_stage.starts`.
        variants: `second_stage.variants`.
        fraction_rows: `label_fractions.rows`.
        network_rows: `networks.rows`.
        protocols: `finetuning.protocols`; none where `rows` is empty.
        tasks: `finetuning.tasks`, likewise.
    """

    rows: list[str]
    segmentation_rows: list[str]
    first_stage: list[str]
    starts: list[str]
    variants: list[str]
    fraction_rows: list[str]
    network_rows: list[str]
    protocols: list[str]
    tasks: list[str]


def measured_sources(spec: TableSpec) -> Iterator[Source]:
    """What the cells of a table are trained for, without those that the paper leaves empty."""
    for block, row, column, source in spec.sources():
        is_empty = reference_tables()[block.reference].is_left_empty(row.label, column.label)
        if not is_empty and source.row != MEAN_PREDICTOR:
            yield source


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def needed_rows(tables: Iterable[str]) -> list[str]:
    """Slugs of the cells that tables measure, in their order."""
    sources = [source for table in tables for source in measured_sources(TABLES[table])]
    return _unique(row for source in sources for row in (source.row, source.against) if row)


def needs(params: Params, tables: Iterable[str]) -> Needs:
    """All that tables need, and nothing else.

    Args:
        params: Define the variants of `needed_rows`; of rows that are the very same training,
            only the first is needed.
        tables: Keys of TABLES.

    Raises:
        KeyError: a variant is not defined.
    """
    sources = [source for table in tables for source in measured_sources(TABLES[table])]
    rows: list[str] = []
    for row in needed_rows(tables):
        trained = trained_as(_with_rows(params, rows), row)
        rows += [trained] if trained not in rows else []
    chosen = _with_rows(params, rows)
    cells: dict[str, set[tuple[str, str]]] = {row: set() for row in rows}
    for source in sources:
        for row in filter(None, (source.row, source.against)):
            cells[trained_as(chosen, row)].add((source.protocol, source.task))
    second = [row.partition(THEN) for row in rows if THEN in row]
    starts = _unique(start for start, _, _ in second)
    narrow = [row for row in rows if cells[row] == {SEGMENTATION_ALONE}]
    wide = [row for row in rows if row not in narrow]
    asked = {cell for row in wide for cell in cells[row]}
    parts = [(trained_as(chosen, source.row), source.part) for source in sources if source.part]
    return Needs(
        rows=wide,
        segmentation_rows=narrow,
        first_stage=_unique([*(row for row in rows if THEN not in row), *starts]),
        starts=starts,
        variants=_unique(variant for _, _, variant in second),
        fraction_rows=_unique(row for row, part in parts if part.isdigit()),
        network_rows=_unique(row for row, part in parts if not part.isdigit()),
        protocols=[name for name in PROTOCOLS if name in {protocol for protocol, _ in asked}],
        tasks=[name for name in TASKS if name in {task for _, task in asked}],
    )


def _with_rows(params: Params, rows: list[str]) -> Params:
    return params.model_copy(update={"rows": rows, "segmentation_rows": []})


def lacking_runs(params: Params, table: str) -> list[str]:
    """Runs of a table that the params do not ask for: it shows them as "not run".

    Blocks and columns that the params leave out altogether are not among them.
    """
    lacking = []
    for source in measured_sources(fit_spec(params, table)):
        protocol, task, part = source.protocol, source.task, source.part
        for slug in filter(None, (source.row, source.against)):
            row = trained_as(params, slug)
            if not is_asked_for(params, row, ""):
                lacking.append(slug)
            elif part and not is_asked_for(params, row, part):
                lacking.append(f"{row} {f'at {part} %' if part.isdigit() else f'with {part}'}")
            elif not part and not has_cell(params, row, protocol, task):
                lacking.append(f"{row} {protocol} {task}")
    return _unique(lacking)


def rows_in_no_table(params: Params) -> list[str]:
    """Rows that are finetuned although no table shows them."""
    if any(TABLES[table].takes_others for table in params.tables):
        return []
    shown = shown_rows(params)
    return [row for row in params.all_rows if row not in shown]


def table_notes(params: Params) -> list[str]:
    """Sentences on tables and trainings that do not fit together; no error, but worth a look."""
    notes = []
    for table in params.tables:
        if lacking := lacking_runs(params, table):
            notes.append(f'table {table} will show as "not run": {", ".join(lacking)}')
        if TABLES[table].on_second_dataset != (params.pretrained_on != params.dataset.name):
            where = "another dataset" if TABLES[table].on_second_dataset else "the same dataset"
            notes.append(f"table {table} is of networks that were pretrained on {where}")
    if unseen := rows_in_no_table(params):
        notes.append(f"rows that no table shows: {', '.join(unseen)}")
    if unused := [row for row in params.second_stage.rows() if row not in params.all_rows]:
        notes.append(
            f"second_stage also makes {', '.join(unused)}, which no row is: `dvc repro` trains "
            "them, `snakemake all_tables` does not"
        )
    return notes
