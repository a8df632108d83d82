"""`run-stage`: what Snakemake's training rules run: one DVC stage, recorded in dvc.lock."""

import argparse
import subprocess
from pathlib import Path

import yaml

from pipeline.config import params_path
from pipeline.stages.common import StageError
from pipeline.stages.dvc_bridge import write_stamp


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command line."""
    parser.add_argument("stage", help="stage of dvc.yaml, e.g. pretrain@rooms-view-0")
    parser.add_argument(
        "--commit", action="store_true", help="record what Snakemake made instead of running it"
    )


def check_params_unchanged() -> None:
    """DVC reads params.yaml itself, so a waiting job must not start after an edit of it.

    Raises:
        StageError: params.yaml differs from the copy that the run started with.
    """
    started_with, now = params_path(), Path("params.yaml")
    if yaml.safe_load(started_with.read_text()) != yaml.safe_load(now.read_text()):
        raise StageError(
            f"params.yaml was edited after this run started (its copy: {started_with}). Stages "
            "that have finished are kept; start again to go on with the edited file"
        )


def run(args: argparse.Namespace) -> None:
    """Run or commit the stage and write its stamp."""
    check_params_unchanged()
    # --wait-for-lock: with many jobs at once DVC's short wait for its lock would lose records.
    dvc = ["dvc", "--wait-for-lock"]
    action = ["commit", "--force"] if args.commit else ["repro", "--single-item"]
    result = subprocess.run([*dvc, *action, args.stage])
    if result.returncode:
        raise StageError(f"{args.stage} failed (dvc exit status {result.returncode}), see above")
    write_stamp(args.stage)
