"""Tables of the runs that the repository keeps, for README.md and docs/reproduction.md.

docs/measured/DATASET/ holds the csv files of results/tables/DATASET/ as `make-tables` wrote them.
"""

import csv
from pathlib import Path

from pipeline.reporting.grid import EMPTY
from pipeline.reporting.markdown import format_cell, markdown_table
from pipeline.reporting.reference import reference_tables
from pipeline.reporting.results import ALL_SCENES, TASKS, Cell
from pipeline.reporting.table_specs import TABLES
from pipeline.reporting.tables import RELATIVE_CHANGE

MEASURED = Path("docs/measured")
_CLAIMS = "claims.csv"

Record = dict[str, str]


def _read(file: Path) -> list[Record]:
    with file.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def _by_seed(text: str) -> dict[int, str]:
    """`seed=value` of each seed, as `tidy_csv` writes them."""
    pairs = (part.partition("=") for part in text.split("; ") if part)
    return {int(seed): value for seed, _, value in pairs}


def _cell(record: Record) -> str:
    values = {seed: float(value) for seed, value in _by_seed(record["values"]).items()}
    return format_cell(Cell(values, _by_seed(record["missing"])))


def _tabulated(block: str, dataset: str) -> list[Record]:
    """Best values over all scenes of a table's block, in its order.

    Raises:
        FileNotFoundError: no table of the dataset has the block.
    """
    found = [
        record
        for file in sorted((MEASURED / dataset).glob("*.csv"))
        if file.name != _CLAIMS
        for record in _read(file)
        if record["table"] == block
        and (record["which"], record["scene"]) == ("best", ALL_SCENES)
        and record["metric"] in (TASKS[record["task"]][0], RELATIVE_CHANGE)
    ]
    if not found:
        raise FileNotFoundError(f"{MEASURED / dataset}: no table has {block}")
    return found


def measured_table(block: str, *datasets: str) -> str:
    """Best validation values of a block of a table, of several runs side by side.

    Args:
        block: Id of the published block, such as `000.t1.frozen`.
        datasets: Folders in docs/measured.
    """
    runs = {name: _tabulated(block, name) for name in datasets}
    [spec] = [spec for spec in TABLES.values() if block in {b.reference for b in spec.blocks}]
    titles = {column.label: column.title for column in spec.columns}
    first = runs[datasets[0]]
    columns = list(dict.fromkeys(record["column"] for record in first))
    measured = {
        (name, record["row"], record["column"]): _cell(record)
        for name, records in runs.items()
        for record in records
    }
    decimals = reference_tables()[block].decimals
    published = {
        (record["row"], record["column"]): f"{float(record['paper_value']):.{decimals}f}"
        for record in first
        if record["paper_value"]
    }
    header = ["pretraining"]
    for column in columns:
        header += [f"{titles[column]}: {name}" for name in datasets]
        header.append("PUBLISHED")
    rows = []
    for row in dict.fromkeys(record["row"] for record in first):
        line = [row]
        for column in columns:
            line += [measured.get((name, row, column), EMPTY) for name in datasets]
            line.append(published.get((row, column), EMPTY))
        rows.append(line)
    return markdown_table(header, rows, 1)


def measured_claims(*datasets: str) -> str:
    """Verdicts and effects of several runs side by side, one line a comparison."""
    runs = {
        name: {
            (record["title"], record["comparison"]): record
            for record in _read(MEASURED / name / _CLAIMS)
            if record["which"] == "best"
        }
        for name in datasets
    }
    header = ["claim", "comparison"]
    header += [f"{name}: {what}" for name in datasets for what in ("effect", "claim")]
    rows = []
    shown = ""
    for (title, comparison), record in runs[datasets[0]].items():
        line = ["" if title == shown else title, comparison]
        for name in datasets:
            own = runs[name][title, comparison]
            effect, low, high = (float(own[key]) for key in ("effect", "low", "high"))
            line.append(f"{effect:+.2f} [{low:+.2f}, {high:+.2f}]")
            line.append("" if title == shown else own["claim_verdict"])
        rows.append([*line, f"{float(record['paper_effect']):+.2f}"])
        shown = title
    return markdown_table([*header, "PUBLISHED"], rows, 2)
