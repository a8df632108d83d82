"""`build-artifacts`: all artifacts of a folder of scenes, without Snakemake.

Scenes are made in parallel processes. A failing scene does not stop the others; a scene that is
complete, and whose params and raw files are the same as then, is not made again, wherever its raw
folder lies now.
"""

import argparse
import hashlib
import json
import os
import traceback
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any

from rich.console import Console

from pipeline import layout
from pipeline.atomic import exclusive, write_json
from pipeline.config import Dataset, Labelled, Params, load_params, params_path
from pipeline.readers import READERS
from pipeline.stages.common import USER_ERRORS, StageError, expand
from pipeline.stages.extract_frames import extract_scene
from pipeline.stages.find_overlaps import find_scene_overlaps
from pipeline.stages.oversegment import oversegment_scene
from pipeline.stages.scene_jobs import package_version
from pipeline.stages.scene_pool import Display, Outcome, add_jobs_argument, in_processes

#: In the artifacts folder: scene -> its state when it was made.
RECORDS = "build.json"
#: Params of the raw data that change nothing in the artifacts.
_WITHOUT_EFFECT = {
    "dataset": {"name", "raw_dir", "scenes", "validation_scenes", "pretrain_split"},
    "labelled": {"raw_dir", "validation_frames"},
}


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
    params, why_no_labels = about(given, args.reader, args.raw)

    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{len(scenes)} scenes in {args.raw} -> {args.out}, params of {file}", markup=False
    )
    if why_no_labels:
        console.print(
            f"no labelled frames: {why_no_labels}; to use some, set dataset.raw_dir to {args.raw} "
            f"and labelled.raw_dir to their folder in a copy of {file}, and give it as --params",
            markup=False,
        )
    outcomes = []
    with_labels = not why_no_labels
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


def about(given: Params, reader: str, raw: Path) -> tuple[Params, str]:
    """Params for another raw folder.

    Labels belong to a dataset, and those of another one may share its scene names. So labelled
    frames are those that the params name if they are about this folder. Those inside the raw folder
    of the params are looked for in the same place of this one, if its layout is the same.

    Args:
        given: Params of any raw folder.
        reader: Layout of the raw folder.
        raw: Raw folder.

    Returns:
        The params, and why there are no labelled frames for them; empty if there may be some.
    """
    dataset = given.dataset.model_copy(update={"reader": reader, "raw_dir": str(raw)})
    params = given.model_copy(update={"dataset": dataset})
    theirs, labelled_dir = (
        Path(os.path.abspath(expand(section.raw_dir)))
        for section in (given.dataset, given.labelled)
    )
    if theirs.resolve() == raw.resolve():
        return params, ""
    differs = f"dataset.raw_dir of the params is {theirs}, not {raw}"
    if not labelled_dir.is_relative_to(theirs):
        return params, f"{differs}, and labelled.raw_dir is not in it but {labelled_dir}"
    if reader != given.dataset.reader:
        return params, f"{differs}, and the reader {given.dataset.reader}, not {reader}"
    here = raw / labelled_dir.relative_to(theirs)
    if not here.is_dir():
        return params, f"{differs}, and what labelled.raw_dir is there, {here}, does not exist"
    labelled = given.labelled.model_copy(update={"raw_dir": str(here)})
    return params.model_copy(update={"labelled": labelled}), ""


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
        state = _state(params, scene, out, with_labels)
        why = _why_again(_read_records(out).get(scene), state)
        if not (why or force):
            return Outcome(scene, "kept", "complete, unchanged")
        again = f"again ({why or '--force'}): " if folder.is_dir() else ""
        start = perf_counter()
        with exclusive(folder), exclusive(folder, "overlaps"):
            lines = [
                extract_scene(params, scene, out, with_labels),
                oversegment_scene(params, scene, out),
                find_scene_overlaps(params, scene, out),
            ]
        shown = "; ".join(line.removeprefix(f"{scene}: ") for line in lines)
        text = f"{again}{shown}; {perf_counter() - start:.1f} s"
        return Outcome(scene, "made", text, {**state, "artifacts": _artifacts_hash(folder)})
    except USER_ERRORS as error:
        return Outcome(scene, "failed", str(error))
    except Exception:
        return Outcome(scene, "failed", traceback.format_exc())


def _state(params: Params, scene: str, out: Path, with_labels: bool) -> dict[str, str]:
    """Short hashes of what a scene's artifacts are made from, and of what is in its folder.

    Files count by name, size and time. A run that was killed has left another state: it has
    replaced an artifact, or left an unfinished one.
    """
    used = params.model_dump(
        mode="json", include={"dataset", "labelled", "geometry"}, exclude=_WITHOUT_EFFECT
    )
    sections: list[Dataset | Labelled] = [
        params.dataset,
        *([params.labelled] if with_labels else []),
    ]
    raw_files = []
    for section in sections:
        raw_dir = expand(section.raw_dir)
        raw_files += _listing(raw_dir, READERS[section.reader].scene_files(raw_dir, scene))
    return {
        "params": _short_hash(used),
        "raw files": _short_hash(raw_files),
        "artifacts": _artifacts_hash(layout.scene_dir(out, scene)),
        "package version": package_version(),
    }


def _artifacts_hash(folder: Path) -> str:
    return _short_hash(_listing(folder, [folder]))


def _listing(root: Path, paths: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Name below `root`, bytes and time in ns of files and of those that are in folders."""
    inside = chain(*(sorted(path.iterdir()) if path.is_dir() else [path] for path in paths))
    found = [(os.path.relpath(path, root), path.stat()) for path in inside if path.is_file()]
    return [(name, status.st_size, status.st_mtime_ns) for name, status in found]


def _short_hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _why_again(before: Mapping[str, str] | None, now: Mapping[str, str]) -> str:
    """What has changed since a scene was made; empty if nothing has."""
    if before is None:
        return f"{RECORDS} does not know it as complete"
    changed = [part for part in now if now[part] != before.get(part)]
    return ", ".join(changed) + " changed" if changed else ""


def _read_records(out: Path) -> dict[str, dict[str, str]]:
    try:
        records = json.loads((out / RECORDS).read_text(encoding="utf-8"))
        return {scene: dict(state) for scene, state in records.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # missing, damaged or of an older version: everything is made again
