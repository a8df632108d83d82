"""`run-stage`: what Snakemake's training rules run: one DVC stage, recorded in dvc.lock."""

import argparse
import signal

from pipeline import layout
from pipeline.atomic import exclusive
from pipeline.stages.common import StageError
from pipeline.stages.dvc_bridge import load_stages, reconcile, write_stamp


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command line."""
    parser.add_argument("stage", help="stage of dvc.yaml, e.g. pretrain@rooms-view-0")
    parser.add_argument(
        "--commit", action="store_true", help="record what Snakemake made instead of running it"
    )


def run(args: argparse.Namespace) -> None:
    """Run or commit the stage and write its stamp; one process at a time does so."""
    # Slurm sends SIGTERM to all processes of a job. This one and the shell inherit that it is
    # ignored: they wait for the training, which takes it as a request to save a checkpoint and end.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stamp = layout.stamp(args.stage)
    with exclusive(stamp.parent, stamp.stem, wait=True):
        if not args.commit:
            # One whose DVC was killed goes on: what it keeps at its end is taken over here.
            with exclusive(layout.CHECKPOINTS, args.stage, wait=True):
                pass
        _record(args.stage, args.commit)
        write_stamp(args.stage)
    if args.commit:
        reconcile(load_stages())  # no stage has started: they wait for this one


def _record(stage: str, commit: bool) -> None:
    """`dvc repro --single-item` of the stage, or `dvc commit`, with the params of this run.

    Raises:
        StageError: it failed.
    """
    from dvc.exceptions import DvcException

    from pipeline.stages.dvc_repo import open_repo

    try:
        with open_repo() as repo:
            if commit:
                repo.commit(stage, force=True)
            else:
                repo.reproduce([stage], single_item=True)
    except DvcException as error:
        raise StageError(f"{stage}: {error.__cause__ or error}; see above") from error
