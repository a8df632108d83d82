"""`print-tables`: show the result tables of the current dataset and say where they are."""

import argparse
import re
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from pipeline.config import load_params
from pipeline.reporting.tables import figure_files, table_files
from pipeline.stages.common import StageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments: everything comes from params.yaml."""


def run(args: argparse.Namespace) -> None:
    """Print the Markdown, laid out on a terminal and as it is elsewhere, then the paths.

    Raises:
        StageError: a table was not made.
    """
    params = load_params()
    console = Console()
    written: list[Path] = []
    for table in params.tables:
        files = table_files(params.dataset.name, table)
        text = _read(files["md"])
        if console.is_terminal:
            console.print(Markdown(text))
        else:
            print(text, end="\n\n")
        written += files.values()
    print("written to:")
    for path in (*written, *figure_files(params.dataset.name).values()):
        if path.is_file():
            print(f"  {path}")


def _read(file: Path) -> str:
    """The page without the pictures, which a terminal cannot show; their paths follow below.

    Raises:
        StageError: it is missing.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise StageError(
            f"{file}: missing; `make tables` or `snakemake --cores 2 all_tables` makes it"
        ) from error
    return re.split(r"^## .*\n\n!\[", text, maxsplit=1, flags=re.MULTILINE)[0].rstrip()
