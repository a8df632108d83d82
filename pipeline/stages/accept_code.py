"""`accept-code`: unfinished trainings go on from their checkpoints though the code was edited."""

import argparse

from pipeline import layout
from pipeline.atomic import write_json
from pipeline.stages.write_fingerprints import edited_modules, fingerprint, read_fingerprint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def run(args: argparse.Namespace) -> None:
    """Note in every unfinished training's folder that its checkpoints are those of today's code."""
    for noted in sorted(layout.CHECKPOINTS.glob(f"*/*/*/*/{layout.CODE_OF_CHECKPOINTS}")):
        stage = noted.parents[2].name
        now = fingerprint(stage)
        if edited := edited_modules(read_fingerprint(noted), now):
            write_json(noted, now)
            print(f"{noted.parent}: goes on with {', '.join(edited)} as edited")
