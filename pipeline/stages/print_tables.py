"""`print-tables`: show the result tables of the current dataset and say where they are."""

import argparse
import re

from rich.console import Console
from rich.markdown import Markdown

from pipeline.config import load_params
from pipeline.reporting.tables import table_files
from pipeline.stages.common import StageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments: everything comes from params.yaml."""


def run(args: argparse.Namespace) -> None:
    """Print the Markdown, laid out on a terminal and as it is elsewhere, then the paths.

    Raises:
        StageError: the tables were not made.
    """
    files = table_files(load_params().dataset.name)
    try:
        text = files["markdown"].read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise StageError(
            f"{files['markdown']}: missing; `make tables` or `snakemake --cores 2 all_tables` "
            "makes it"
        ) from error
    # A terminal cannot show the pictures; their paths follow below.
    text = re.split(r"^## .*\n\n!\[", text, maxsplit=1, flags=re.MULTILINE)[0].rstrip()
    console = Console()
    if console.is_terminal:
        console.print(Markdown(text))
    else:
        print(text)
    print("\nwritten to:")
    for path in files.values():
        if path.is_file():
            print(f"  {path}")
