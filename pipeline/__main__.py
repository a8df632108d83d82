"""`python -m pipeline COMMAND`: every stage of the pipeline as a command line."""

import argparse
import importlib
import os
import sys

from pipeline.stages.common import USER_ERRORS

#: Command -> (module of pipeline.stages, help). Modules are imported only when they are run.
COMMANDS = {
    "check-params": ("check_params", "validate params.yaml"),
    "use-preset": ("use_preset", "copy a file of presets/ to params.yaml"),
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
    "make-tables": ("make_tables", "metrics -> result tables and figures"),
    "run-stage": ("run_stage", "run one DVC stage for Snakemake and record it"),
    "print-tables": ("print_tables", "show the result tables of the current dataset"),
    "write-docs": ("write_docs", "regenerate the parts of docs/ that come from the code"),
}


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
        status = args.run(args)
    except USER_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return int(status or 0)


if __name__ == "__main__":
    sys.exit(main())
