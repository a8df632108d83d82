"""`print-tables`: show the result tables of the current dataset and say where they are."""

import argparse
import re
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from pipeline.config import load_params
from pipeline.reporting.claims_page import QUOTES, claim_files
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
    dataset = params.dataset.name
    for files in (*(table_files(dataset, table) for table in params.tables), claim_files(dataset)):
        text = _read(files["md"])
        if console.is_terminal:
            console.print(Markdown(text))
        else:
            print(text, end="\n\n")
        written += files.values()
    print("written to:")
    for path in (*written, *figure_files(dataset).values()):
        if path.is_file():
            print(f"  {path}")


def _read(file: Path) -> str:
    """The page without the pictures, which a terminal cannot show, and the quotes of the claims.

    Raises:
        StageError: it is missing.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise StageError(
            f"{file}: missing; `make tables` or `snakemake --cores 2 all_tables` makes it"
        ) from error
    end = rf"^## .*\n\n!\[|^{QUOTES}$"
    return re.split(end, text, maxsplit=1, flags=re.MULTILINE)[0].rstrip()
