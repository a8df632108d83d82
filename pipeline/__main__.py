"""`python -m pipeline COMMAND`: every stage of the pipeline as a command line."""

import argparse
import importlib
import os
import resource
import signal
import sys
import time

from pipeline.stages.common import USER_ERRORS
from pipeline.stages.write_fingerprints import check_code

#: Command -> (module of pipeline.stages, help). Modules are imported only when they are run.
COMMANDS = {
    "check-params": ("check_params", "validate params.yaml"),
    "estimate-cost": ("estimate_cost", "GPU-hours and disk of a params file at the papers' scale"),
    "use-preset": ("use_preset", "copy a file of presets/ to params.yaml"),
    "choose-tables": ("choose_tables", "let params.yaml ask for tables and what they need"),
    "check": ("check_raw", "inspect a raw folder before anything is computed"),
    "make-room": ("make_room", "write one embedded room in ScanNet's raw format"),
    "extract-frames": ("extract_frames", "raw scene -> frames, voxels, correspondences"),
    "oversegment": ("oversegment", "mesh -> segments and sets"),
    "find-overlaps": ("find_overlaps", "raw depth -> overlaps of all frame pairs"),
    "write-manifest": ("write_manifest", "content manifest of one artifact kind"),
    "build-artifacts": ("build_artifacts", "all artifacts of a folder, without Snakemake"),
    "inspect": ("inspect_scene", "summaries and pictures of a scene's artifacts"),
    "validate": ("validate", "artifacts against their schemas and invariants"),
    "pretrain": ("pretrain", "contrastive pretraining of one variant and seed"),
    "finetune": ("finetune", "all tasks and protocols of one pretraining and seed"),
    "predict-mean": ("predict_mean", "scores of predicting the training frames' mean"),
    "make-tables": ("make_tables", "metrics -> result tables and figures"),
    "run-stage": ("run_stage", "run one DVC stage for Snakemake and record it"),
    "share-artifacts": ("share_artifacts", "let dvc push and pull carry the artifacts, too"),
    "print-tables": ("print_tables", "show the result tables of the current dataset"),
    "write-fingerprints": ("write_fingerprints", "hash the code of each stage, for DVC"),
    "convert-checkpoint": ("convert_checkpoint", "weights of Pri3D, MoCo, torchvision, Detectron2"),
    "accept-code": ("accept_code", "go on with unfinished trainings after an edit of the code"),
    "write-docs": ("write_docs", "regenerate the parts of docs/ that come from the code"),
}

#: Commands that run as jobs: what they cost stands at the end of their logs.
JOBS = (
    *("make-room", "extract-frames", "oversegment", "find-overlaps", "write-manifest"),
    *("pretrain", "finetune", "predict-mean", "make-tables"),
)


def _cost(command: str, seconds: float) -> str:
    """Time without the start of the process, and peak memory, to size a cluster's jobs by."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return (
        f"{command}: {seconds:.1f} s and {usage.ru_utime + usage.ru_stime:.1f} s of CPU time, "
        f"{usage.ru_maxrss / 1024:.0f} MB at most"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Command line without the program; `sys.argv[1:]` by default.

    Returns:
        Exit status: 0, or 1 after an error that names its cause.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="python -m pipeline", description=__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, help_text) in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=help_text, description=help_text)
        if name == next((word for word in arguments if not word.startswith("-")), None):
            stage = importlib.import_module(f"pipeline.stages.{module}")
            stage.add_arguments(subparser)
            subparser.set_defaults(run=stage.run)
    args = parser.parse_args(arguments)
    try:
        check_code(COMMANDS[args.command][0])
        start = time.perf_counter()
        status = args.run(args)
        if args.command in JOBS:
            print(_cost(args.command, time.perf_counter() - start), file=sys.stderr)
    except USER_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return int(status or 0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # run_stage.py has it ignored, for DVC
    status = main()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # too late: what is stored shall count
    sys.exit(status)
