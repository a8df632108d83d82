"""`build-artifacts`: all artifacts of a folder of scenes, without Snakemake.

Scenes are made in parallel processes. A failing scene does not stop the others; a scene that is
complete, and whose params and raw files are the same as then, is not made again.
"""

import argparse
import json
import traceback
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from rich.console import Console

from pipeline import layout
from pipeline.atomic import exclusive, write_json
from pipeline.config import Params, load_params, params_path
from pipeline.readers import READERS
from pipeline.stages.common import USER_ERRORS, StageError, expand
from pipeline.stages.extract_frames import extract_scene
from pipeline.stages.find_overlaps import find_scene_overlaps
from pipeline.stages.oversegment import oversegment_scene
from pipeline.stages.scene_jobs import package_version
from pipeline.stages.scene_pool import Display, Outcome, add_jobs_argument, in_processes

#: Written last into a scene's folder: what its artifacts were made from.
RECORD = "build.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `build-artifacts`."""
    parser.add_argument("--reader", required=True, choices=sorted(READERS), help="raw layout")
    parser.add_argument("--raw", required=True, type=expand, metavar="DIR", help="raw folder")
    parser.add_argument("--out", required=True, type=expand, metavar="DIR", help="artifacts folder")
    parser.add_argument("--params", type=Path, metavar="FILE", help="default: params.yaml")
    add_jobs_argument(parser)
    parser.add_argument("--force", action="store_true", help="make complete scenes again, too")


def run(args: argparse.Namespace) -> int:
    """Make all scenes.

    Returns:
        Exit status: 1 if a scene failed.

    Raises:
        StageError: --jobs is below 1.
        ReaderError: the raw folder holds no scene of this layout.
    """
    if args.jobs < 1:
        raise StageError(f"--jobs must be at least 1, not {args.jobs}")
    file = args.params or params_path()
    given = load_params(file)
    scenes = READERS[args.reader].list_scenes(args.raw)
    # Labels belong to the dataset of the params: those of another one may share scene names.
    with_labels = expand(given.dataset.raw_dir).resolve() == args.raw.resolve()
    dataset = given.dataset.model_copy(update={"reader": args.reader, "raw_dir": str(args.raw)})
    params = given.model_copy(update={"dataset": dataset})

    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{len(scenes)} scenes in {args.raw} -> {args.out}, params of {file}", markup=False
    )
    if not with_labels:
        console.print(f"no labelled frames: {file} is not about this folder", markup=False)
    outcomes = []
    with Display(console, len(scenes)) as display:
        for outcome in _make_all(params, scenes, args.out, with_labels, args.force, args.jobs):
            display.show(outcome)
            outcomes.append(outcome)
    failed = sorted(outcome.scene for outcome in outcomes if outcome.is_bad)
    n_kept = sum(outcome.kind == "kept" for outcome in outcomes)
    n_made = len(outcomes) - n_kept - len(failed)
    console.print(f"{n_made} made, {n_kept} kept, {len(failed)} failed", markup=False)
    if failed:
        console.print(f"failed: {', '.join(failed)}", markup=False)
    return 1 if failed else 0


def _make_all(
    params: Params, scenes: list[str], out: Path, with_labels: bool, force: bool, jobs: int
) -> Iterator[Outcome]:
    """Outcomes in the order in which the scenes finish."""
    work = partial(make_scene, params, out=out, with_labels=with_labels, force=force)
    return in_processes(work, scenes, jobs)


def make_scene(params: Params, scene: str, out: Path, with_labels: bool, force: bool) -> Outcome:
    """Make all artifacts of one scene, unless they are complete; errors become outcomes."""
    try:
        record = _record(params, scene, with_labels)
        path = layout.scene_dir(out, scene) / RECORD
        if not force and _is_complete(out, scene, path, record):
            return Outcome(scene, "kept", "complete, unchanged")
        start = perf_counter()
        with exclusive(path.parent):
            path.unlink(missing_ok=True)
            lines = [
                extract_scene(params, scene, out, with_labels),
                oversegment_scene(params, scene, out),
                find_scene_overlaps(params, scene, out),
            ]
            write_json(path, record)
        shown = "; ".join(line.removeprefix(f"{scene}: ") for line in lines)
        return Outcome(scene, "made", f"{shown}; {perf_counter() - start:.1f} s")
    except USER_ERRORS as error:
        return Outcome(scene, "failed", str(error))
    except Exception:
        return Outcome(scene, "failed", traceback.format_exc())


def _record(params: Params, scene: str, with_labels: bool) -> dict[str, Any]:
    """What the artifacts of a scene are made from: params, and raw files by size and time."""
    files = list(READERS[params.dataset.reader].scene_files(Path(params.dataset.raw_dir), scene))
    if with_labels:
        labelled = params.labelled
        files += READERS[labelled.reader].scene_files(expand(labelled.raw_dir), scene)
    inputs = {}
    for file in files:
        inside = sorted(file.iterdir()) if file.is_dir() else [file]
        for path in inside:
            if path.is_file():
                status = path.stat()
                inputs[str(path)] = [status.st_size, status.st_mtime_ns]
    return {
        "package_version": package_version(),
        "params_hash": params.section_hash("dataset", "labelled", "geometry"),
        "with_labels": with_labels,
        "inputs": inputs,
    }


def _is_complete(out: Path, scene: str, record_file: Path, record: dict[str, Any]) -> bool:
    artifacts = [layout.artifact(out, scene, kind) for kind in layout.ARTIFACT_KINDS]
    if not all(path.is_file() for path in [*artifacts, layout.mesh(out, scene)]):
        return False
    try:
        return bool(json.loads(record_file.read_text(encoding="utf-8")) == record)
    except (OSError, ValueError):
        return False
