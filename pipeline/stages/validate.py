"""`validate`: every artifact of one or many scenes against its schema and its invariants."""

import argparse
import traceback
from functools import partial
from pathlib import Path
from time import perf_counter

from rich.console import Console

from pipeline import layout
from pipeline.reporting.validation import Report, validate_scene
from pipeline.stages.common import StageError, expand
from pipeline.stages.scene_pool import Display, Outcome, add_jobs_argument, in_processes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command line."""
    parser.add_argument(
        "folder", type=expand, metavar="DIR", help="a scene's artifact folder, or a folder of them"
    )
    add_jobs_argument(parser)
    parser.add_argument(
        "--limit", type=int, default=10, metavar="N", help="violations shown per scene (default 10)"
    )


def run(args: argparse.Namespace) -> int:
    """Check all scenes.

    Returns:
        Exit status: 1 if a scene has a violation.

    Raises:
        StageError: there is no scene, or an option makes no sense.
    """
    for option in ("jobs", "limit"):
        if (value := getattr(args, option)) < 1:
            raise StageError(f"--{option} must be at least 1, not {value}")
    artifacts, scenes = find_scenes(args.folder)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{len(scenes)} scenes in {artifacts}", markup=False)
    outcomes = []
    with Display(console, len(scenes)) as display:
        work = partial(check_scene, artifacts, args.limit)
        for outcome in in_processes(work, scenes, args.jobs):
            display.show(outcome)
            outcomes.append(outcome)
    bad = sorted(outcome.scene for outcome in outcomes if outcome.is_bad)
    console.print(f"{len(outcomes) - len(bad)} valid, {len(bad)} invalid", markup=False)
    if bad:
        console.print(f"invalid: {', '.join(bad)}", markup=False)
    return 1 if bad else 0


def find_scenes(folder: Path) -> tuple[Path, list[str]]:
    """Artifacts folder and its scenes; `folder` is that, or the folder of one scene.

    Raises:
        StageError: it is neither.
    """
    if not folder.is_dir():
        raise StageError(f"{folder}: no such folder; `build-artifacts` or `snakemake` makes it")
    folder = folder.absolute()  # a link may have another name than what it points to
    names = sorted(layout.artifact(folder, "", kind).name for kind in layout.ARTIFACT_KINDS)

    def holds_artifacts(path: Path) -> bool:
        return any((path / name).exists() for name in names)

    if holds_artifacts(folder):
        return folder.parent, [folder.name]
    scenes = sorted(path for path in folder.iterdir() if path.is_dir())
    if not any(map(holds_artifacts, scenes)):
        raise StageError(
            f"{folder}: holds neither a scene's artifacts ({', '.join(names)}) nor folders with "
            "them; `check` is for raw folders, `build-artifacts` or `snakemake` makes artifacts"
        )
    return folder, [path.name for path in scenes]


def check_scene(artifacts: Path, limit: int, scene: str) -> Outcome:
    """Check one scene; what the check itself cannot digest is a failure with its traceback."""
    start = perf_counter()
    try:
        report = validate_scene(layout.scene_dir(artifacts, scene))
    except Exception:
        return Outcome(scene, "failed", traceback.format_exc())
    lines = [f"{summary(report)}; {perf_counter() - start:.1f} s"]
    lines += [f"  {violation}" for violation in report.violations[:limit]]
    if (n_more := len(report.violations) - limit) > 0:
        lines.append(f"  and {n_more} more violations (--limit)")
    if report.unchecked:
        lines.append(f"  not checked to the end for that: {', '.join(report.unchecked)}")
    lines += [f"  warning: {warning}" for warning in report.warnings]
    if report.violations:
        lines.append(f"  {remedy(layout.scene_dir(artifacts, scene), report)}")
    return Outcome(scene, "invalid" if report.violations else "valid", "\n".join(lines))


def summary(report: Report) -> str:
    """`32 frames, 10320 voxels, ...`, after the number of violations, if there are any."""
    rows = ", ".join(f"{n} {kind}" for kind, n in report.n_rows.items())
    n_found = len(report.violations)
    return "; ".join(part for part in (f"{n_found} violations" if n_found else "", rows) if part)


def remedy(folder: Path, report: Report) -> str:
    """What to do about the violations."""
    files = sorted({violation.file for violation in report.violations})
    spoiled = [file for file in files if (folder / file).exists()]
    again = "`snakemake --cores 2 all_artifacts` or `build-artifacts` makes what is missing"
    return f"in {folder} delete {', '.join(spoiled)}; then {again}" if spoiled else again
