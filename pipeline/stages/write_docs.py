"""`write-docs`: regenerate the parts of docs/ that come from the code."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from pipeline.atomic import write_text
from pipeline.readers import READERS
from pipeline.reporting.artifact_docs import artifacts_markdown, fill_layouts, params_schema
from pipeline.reporting.claim_docs import claims_markdown
from pipeline.reporting.marked_blocks import fill_blocks
from pipeline.reporting.measured_docs import read_measurements, speed_markdown
from pipeline.reporting.measured_tables import measured_claims, measured_table
from pipeline.reporting.table_docs import rows_markdown
from pipeline.stages.estimate_cost import papers_cost

DOCS = Path("docs")
README = Path("README.md")
#: Kinds of blocks in docs/reproduction.md.
_REPRODUCTION: Mapping[str, Callable[..., str]] = {
    "cost": papers_cost,
    "rows": rows_markdown,
    "measured": measured_table,
    "claims": measured_claims,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def generated_docs() -> dict[Path, str]:
    """File -> text it should have; also what the tests compare.

    Raises:
        KeyError: docs/datasets.md and the readers do not name the same layouts, or
            README.md or docs/reproduction.md lacks a block.
        OSError: a page cannot be read.
    """
    datasets, reproduction = DOCS / "datasets.md", DOCS / "reproduction.md"
    layouts = {name: reader.layout for name, reader in READERS.items()}
    return {
        DOCS / "artifacts.md": artifacts_markdown(),
        DOCS / "claims.md": claims_markdown(),
        DOCS / "params.schema.json": params_schema(),
        DOCS / "speed.md": speed_markdown(read_measurements()),
        datasets: fill_layouts(datasets.read_text(encoding="utf-8"), layouts),
        reproduction: fill_blocks(
            str(reproduction), reproduction.read_text(encoding="utf-8"), _REPRODUCTION
        ),
        README: fill_blocks(
            str(README), README.read_text(encoding="utf-8"), {"measured": measured_table}
        ),
    }


def run(args: argparse.Namespace) -> None:
    """Write the generated docs."""
    for path, text in generated_docs().items():
        write_text(path, text)
        print(f"wrote {path}")
