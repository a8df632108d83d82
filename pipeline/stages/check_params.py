"""`check-params`: validate params.yaml and explain its keys."""

import argparse
from collections.abc import Iterator

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from pipeline.config import Params, load_params, params_path
from pipeline.reporting.table_needs import table_notes
from pipeline.reporting.tables import results_hash


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command line."""
    parser.add_argument("file", nargs="?", help="params file (default: params.yaml)")
    parser.add_argument("--explain", action="store_true", help="list every key with its meaning")


def explained(section: BaseModel, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield key, value and description of every leaf of a params section.

    Of a variant only what is not null: its losses, and what it has of its own.
    """
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from explained(value, f"{prefix}{name}.")
        elif isinstance(section, Params) and name == "variants":
            for key, variant in value.items():
                rows = explained(variant, f"{prefix}{name}.{key}.")
                yield from (row for row in rows if row[1] != "None")
        else:
            yield f"{prefix}{name}", str(value), field.description or ""


def run(args: argparse.Namespace) -> None:
    """Print that the file is valid, or raise ParamsError with every problem."""
    params: Params = load_params(args.file)
    console = Console()
    if args.explain:
        table = Table(title=str(args.file or params_path()))
        for name in ("key", "value", "meaning"):
            table.add_column(name, overflow="fold")
        for row in explained(params):
            table.add_row(*row)
        console.print(table)
    console.print(f"{args.file or params_path()}: valid, params hash {results_hash(params)}")
    for note in table_notes(params):
        console.print(f"note: {note}")
