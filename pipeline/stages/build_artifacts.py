"""`build-artifacts`: all artifacts of a folder of scenes, without Snakemake.

Scenes are made in parallel processes. A failing scene does not stop the others; a scene that is
complete, and whose params and raw files are the same as then, is not made again.
"""

import argparse
import hashlib
import json
import traceback
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
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

#: In the artifacts folder: scene -> its state when it was made.
RECORDS = "build.json"


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
            remember(args.out, outcome)
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


def remember(out: Path, outcome: Outcome) -> None:
    """Note the state of a scene that was made; not for several processes at a time."""
    if outcome.kind == "made":
        write_json(out / RECORDS, {**_read_records(out), outcome.scene: outcome.state})


def make_scene(params: Params, scene: str, out: Path, with_labels: bool, force: bool) -> Outcome:
    """Make all artifacts of one scene, unless they are complete; errors become outcomes.

    They are complete if their state is the one that `remember` has noted.
    """
    folder = layout.scene_dir(out, scene)
    try:
        sources = _sources(params, scene, with_labels)
        if not force and _state(folder, sources) == _read_records(out).get(scene):
            return Outcome(scene, "kept", "complete, unchanged")
        start = perf_counter()
        with exclusive(folder), exclusive(folder, "overlaps"):
            lines = [
                extract_scene(params, scene, out, with_labels),
                oversegment_scene(params, scene, out),
                find_scene_overlaps(params, scene, out),
            ]
        shown = "; ".join(line.removeprefix(f"{scene}: ") for line in lines)
        text = f"{shown}; {perf_counter() - start:.1f} s"
        return Outcome(scene, "made", text, _state(folder, sources))
    except USER_ERRORS as error:
        return Outcome(scene, "failed", str(error))
    except Exception:
        return Outcome(scene, "failed", traceback.format_exc())


def _sources(params: Params, scene: str, with_labels: bool) -> dict[str, Any]:
    """What the artifacts of a scene are made from: params, and raw files by size and time."""
    files = list(READERS[params.dataset.reader].scene_files(Path(params.dataset.raw_dir), scene))
    if with_labels:
        labelled = params.labelled
        files += READERS[labelled.reader].scene_files(expand(labelled.raw_dir), scene)
    inside = (sorted(file.iterdir()) if file.is_dir() else [file] for file in files)
    return {
        "package_version": package_version(),
        "params_hash": params.section_hash("dataset", "labelled", "geometry"),
        "with_labels": with_labels,
        "inputs": {str(path): found for path, found in _sizes_and_times(chain(*inside))},
    }


def _state(folder: Path, sources: dict[str, Any]) -> str:
    """Hash of a scene's sources and of what is in its folder, by size and time.

    A run that was killed has left another state: it has replaced a file, or left an unfinished one.
    """
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    files = {path.name: found for path, found in _sizes_and_times(inside)}
    content = json.dumps({**sources, "artifacts": files}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _sizes_and_times(paths: Iterable[Path]) -> Iterator[tuple[Path, list[int]]]:
    """Path, bytes and nanoseconds of its last change, of those that are files."""
    for path in paths:
        if path.is_file():
            status = path.stat()
            yield path, [status.st_size, status.st_mtime_ns]


def _read_records(out: Path) -> dict[str, str]:
    try:
        return dict(json.loads((out / RECORDS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}  # missing or damaged: everything is made again
