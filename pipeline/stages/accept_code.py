"""`accept-code`: unfinished trainings go on from their checkpoints though the code was edited."""

import argparse

from pipeline import layout
from pipeline.atomic import write_json
from pipeline.stages.training_run import COMMANDS
from pipeline.stages.write_fingerprints import edited_modules, fingerprint, read_fingerprint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command line."""
    parser.add_argument(
        "stages", nargs="*", help="DVC's names, such as pretrain@rooms-view-0 (default: all)"
    )


def run(args: argparse.Namespace) -> None:
    """Note in unfinished trainings' folders that their checkpoints are those of today's code."""
    for folder in sorted(layout.CHECKPOINTS.glob("*/*/*/*/")):
        dataset, stage, item = folder.parts[-4:-1]
        variant, _, seed = item.rpartition("-s")
        name = layout.stage_name(stage, dataset, variant, int(seed))
        noted, now = folder / layout.CODE_OF_CHECKPOINTS, fingerprint(COMMANDS[stage])
        edited = edited_modules(read_fingerprint(noted), now)
        if edited and (not args.stages or name in args.stages):
            write_json(noted, now)
            print(f"{folder}: goes on with {', '.join(edited)} as edited")
