"""`choose-tables`: rewrite params.yaml so that it asks for these tables and what they need."""

import argparse
from pathlib import Path

from ruamel.yaml import YAML

from pipeline.atomic import write_text
from pipeline.config import Params, load_params, params_path, parse_params
from pipeline.config.pretraining import THEN
from pipeline.reporting.table_needs import Needs, needed_rows, needs, table_notes
from pipeline.reporting.table_specs import TABLES
from pipeline.stages.common import StageError
from pipeline.yaml_file import replace_lists


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command line."""
    parser.add_argument("tables", nargs="+", choices=list(TABLES), help="tables to make")
    parser.add_argument("--file", type=Path, help="params file (default: params.yaml)")


def run(args: argparse.Namespace) -> None:
    """Rewrite the lists of trainings and finetunings; comments and everything else stay.

    Raises:
        StageError: the file does not define a variant that a table needs, or tables of one and of
            two datasets are asked for together.
        ParamsError: the file is not valid, before or after.
    """
    file = args.file or params_path()
    params = load_params(file)
    tables = list(dict.fromkeys(args.tables))
    _check_dataset(params, tables, file)
    names = [name for row in needed_rows(tables) for name in row.rpartition(THEN)[::2] if name]
    if undefined := [name for name in dict.fromkeys(names) if name not in params.variants]:
        raise StageError(
            f"{file}: variants that {', '.join(tables)} need but the file does not define: "
            f"{', '.join(undefined)}; docs/reproduction.md says what each is, "
            "presets/paper_000.yaml and paper_001.yaml define them, other_tables.yaml small ones"
        )
    needed = needs(params, tables)
    text = _rewritten(file, _lists(params, tables, needed))
    chosen = parse_params(YAML(typ="safe").load(text), file)
    if text != file.read_text(encoding="utf-8"):
        write_text(file, text)
    rows = chosen.all_rows
    print(f"{file}: {', '.join(tables)} with {len(rows)} rows: {', '.join(rows)}")
    for before, after in (("rows", "segmentation_rows"), ("segmentation_rows", "rows")):
        if moved := [row for row in getattr(params, before) if row in getattr(chosen, after)]:
            print(f"from {before} to {after}, so finetuned anew: {', '.join(moved)}")
    for note in table_notes(chosen):
        print(note)


def _check_dataset(params: Params, tables: list[str], file: Path) -> None:
    """A file is of networks that it pretrains itself, or of another file's.

    Raises:
        StageError: a table is of the other kind.
    """
    has_others = params.pretrained_on != params.dataset.name
    wrong = [table for table in tables if TABLES[table].on_second_dataset != has_others]
    if not wrong:
        return
    if has_others:
        raise StageError(
            f"{file}: its networks are those of {params.pretrained_on}; choose "
            f"{', '.join(wrong)} in the params file that pretrains them"
        )
    raise StageError(
        f"{file}: {', '.join(wrong)} finetunes on a second dataset: choose it in a params file of "
        f"that dataset, with `pretrained_on: {params.dataset.name}`, and let this file make its "
        f"rows: {', '.join(needed_rows(wrong))}"
    )


def _lists(params: Params, tables: list[str], needed: Needs) -> dict[str, list[str]]:
    """Dotted key of params.yaml -> its new list."""
    lists = {
        "tables": tables,
        "first_stage": needed.first_stage,
        "second_stage.starts": needed.starts,
        "second_stage.variants": needed.variants,
        "rows": needed.rows,
        "segmentation_rows": needed.segmentation_rows,
        "label_fractions.rows": needed.fraction_rows,
        "networks.rows": needed.network_rows,
    }
    if needed.rows:  # that they are for
        lists |= {"finetuning.tasks": needed.tasks, "finetuning.protocols": needed.protocols}
    if params.pretrained_on != params.dataset.name:
        pretrained = ("first_stage", "second_stage.starts", "second_stage.variants")
        lists |= {key: [] for key in pretrained}
    return lists


def _rewritten(file: Path, lists: dict[str, list[str]]) -> str:
    """Text of the file with other lists.

    Raises:
        StageError: it has not all of the keys; their defaults are none that could be replaced.
    """
    try:
        return replace_lists(file.read_text(encoding="utf-8"), lists)
    except KeyError as error:
        raise StageError(f"{file}: has no list {error}; write `[]` there first") from error
