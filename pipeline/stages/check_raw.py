"""Inspect a raw folder before anything is computed: what is there, what is wrong, what it costs."""

import argparse
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich import filesize
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pipeline.config import load_params
from pipeline.readers import READERS
from pipeline.readers.base import Frame, Reader, ReaderError, Scene
from pipeline.readers.checks import FrameProblem
from pipeline.stages.common import expand
from pipeline.stages.named_inputs import missing_inputs

# Costs as measured in docs/artifacts.md, rounded; a test compares them.
#: All files of a scene at 240x320, a kept frame.
BYTES_PER_FRAME = 236_000
#: Core-seconds of all artifacts of a kept frame from a `.sens` of ScanNet's sizes, without fusion.
SECONDS_PER_FRAME = 0.04
#: Core-seconds of fusing a frame of 640x480, where the dataset ships no mesh; not in the docs but
#: in geometry_reference.md section 2.
SECONDS_PER_FUSED_FRAME = 0.05
#: Core-seconds of the overlap of one pair of frames, with the down-sampling of the clouds.
SECONDS_PER_PAIR = 0.00028
#: Core-seconds of starting the three jobs of a scene.
SECONDS_PER_SCENE = 5.4
#: Frames of a scene that are decoded; all others are only looked up.
SAMPLED_FRAMES = 5


@dataclass
class SceneReport:
    """What was found out about a scene.

    Attributes:
        scene: its name.
        n_frames: frames after the stride.
        skipped: status -> number of frames that will be skipped, as far as the cheap checks tell.
        problems: what is wrong, each with the file and what was expected.
        mesh: what the mesh is.
        labels: whether the sampled frames have labels.
        depth_size: width x height of the depth.
        calibration: focal lengths and principal point, pixels.
        has_mesh: whether the dataset ships a mesh.
    """

    scene: str
    n_frames: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    mesh: str = ""
    labels: str = ""
    depth_size: str = ""
    calibration: str = ""
    has_mesh: bool = False

    @property
    def n_kept(self) -> int:
        """Frames that remain."""
        return self.n_frames - self.skipped.total()

    @property
    def core_seconds(self) -> float:
        """Estimated time for the artifacts."""
        per_frame = SECONDS_PER_FRAME + (0 if self.has_mesh else SECONDS_PER_FUSED_FRAME)
        pairs = self.n_kept * (self.n_kept - 1) / 2
        return SECONDS_PER_SCENE + self.n_kept * per_frame + pairs * SECONDS_PER_PAIR


def check_scene(
    reader: Reader,
    raw_dir: Path,
    scene_id: str,
    frame_stride: int,
    fuse_all: bool = False,
    min_weight: float = 1,
) -> SceneReport:
    """Check a scene: look up all its frames, decode a few, read its mesh.

    Args:
        reader: Layout of the raw folder.
        raw_dir: Raw folder.
        scene_id: One of its scenes.
        frame_stride: Every n-th frame is kept.
        fuse_all: Whether a mesh is fused also where the dataset ships one.
        min_weight: Frames that must see a surface for it to be fused.

    Returns:
        The report; whatever is wrong stands in its `problems`.
    """
    report = SceneReport(scene_id)
    try:
        scene = reader.open_scene(raw_dir, scene_id, frame_stride)
    except ReaderError as error:
        report.problems.append(str(error).split("\n", 1)[0])
        return report
    report.n_frames = len(scene.frame_ids)
    _check_frames(scene, report)
    if fuse_all:
        report.mesh = "fused"
    else:
        _check_mesh(scene, report)
    if not report.n_kept:
        report.problems.append(f"none of its {report.n_frames} frames can be used")
    elif not report.has_mesh and report.n_kept < min_weight:
        report.problems.append(
            f"{report.n_kept} frames are left at stride {frame_stride}, but a surface is fused "
            f"where {min_weight:g} see it; lower frame_stride or geometry.fusion.min_weight"
        )
    return report


def _check_frames(scene: Scene, report: SceneReport) -> None:
    faults: dict[str, list[str]] = {}
    usable = []
    for frame_id in scene.frame_ids:
        try:
            if scene.probe_frame is not None:
                scene.probe_frame(frame_id)
            usable.append(frame_id)
        except FrameProblem as problem:
            report.skipped[problem.status] += 1
            if problem.is_fault:
                faults.setdefault(problem.status, []).append(problem.reason)
    picks = np.unique(np.linspace(0, len(usable) - 1, SAMPLED_FRAMES).round().astype(int))
    samples = [scene.load_frame(usable[pick]) for pick in picks] if usable else []
    for frame in samples:
        if frame.status != "ok":
            report.skipped[frame.status] += 1
            # The recording itself loses depth now and then; anything else is a damaged file.
            if frame.status != "no_depth":
                faults.setdefault(frame.status, []).append(frame.reason)
    for status, reasons in faults.items():
        report.problems.append(f"{len(reasons)} frames {status}; first: {reasons[0]}")
    decoded = [frame for frame in samples if frame.status == "ok"]
    if decoded:
        labelled = sum(frame.label is not None for frame in decoded)
        report.labels = f"{labelled}/{len(decoded)} sampled" if labelled else "none"
        _check_calibration(decoded[0], report)


def _check_calibration(frame: Frame, report: SceneReport) -> None:
    if frame.K is None or frame.depth is None:
        return
    K, (height, width) = frame.K, frame.depth.shape
    report.depth_size = f"{width}x{height}"
    report.calibration = f"{K[0, 0]:.0f} {K[1, 1]:.0f} {K[0, 2]:.0f} {K[1, 2]:.0f}"
    if not (0 < K[0, 2] < width and 0 < K[1, 2] < height):
        report.problems.append(
            f"intrinsics: principal point ({K[0, 2]:.1f}, {K[1, 2]:.1f}) is outside the depth of "
            f"{width}x{height}; expected the depth camera's intrinsics at that size"
        )


def _check_mesh(scene: Scene, report: SceneReport) -> None:
    try:
        mesh = scene.load_mesh()
    except ReaderError as error:
        report.problems.append(str(error))
        return
    report.has_mesh = mesh is not None
    if mesh is None:
        report.mesh = "none: fused"
    else:
        labels = "without" if mesh.label is None else "with"
        report.mesh = f"{len(mesh.vertices):,} vertices {labels} labels"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m pipeline check`."""
    parser.add_argument("--reader", required=True, choices=sorted(READERS), help="raw layout")
    parser.add_argument("--raw", required=True, help="raw folder")
    parser.add_argument(
        "--params",
        type=Path,
        metavar="FILE",
        help="take frame stride and fusion from this file, and look for what else it names",
    )
    parser.add_argument(
        "--frame-stride",
        type=int,
        metavar="N",
        help="keep every n-th frame (default: that of --params, else 1; the papers: 25)",
    )


def run(args: argparse.Namespace) -> int:
    """Check all scenes, print a table and what is wrong; 1 if anything is."""
    params = load_params(args.params) if args.params is not None else None
    frame_stride = args.frame_stride
    if frame_stride is None:
        frame_stride = params.dataset.frame_stride if params is not None else 1
    if frame_stride < 1:
        raise ReaderError(f"--frame-stride {frame_stride}: must be at least 1")
    fusing = (
        (params.dataset.mesh == "fuse", params.geometry.fusion.min_weight)
        if params is not None
        else ()
    )
    reader, raw_dir = READERS[args.reader], expand(args.raw)
    # Without a terminal Rich would squeeze the table into 80 columns.
    console = Console(width=None if sys.stdout.isatty() else 140)
    reports = [
        check_scene(reader, raw_dir, scene, frame_stride, *fusing)
        for scene in track(
            reader.list_scenes(raw_dir),
            "checking scenes",
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
    ]
    # Params of another folder say nothing of what lies beside this one.
    same = params is not None and expand(params.dataset.raw_dir).resolve() == raw_dir.resolve()
    missing = list(missing_inputs(params)) if params is not None and same else []
    print_reports(reports, missing, frame_stride, console)
    return 1 if missing or any(report.problems for report in reports) else 0


def print_reports(
    reports: list[SceneReport], missing: list[str], frame_stride: int, console: Console
) -> None:
    """Print a table of the scenes, the estimates, and the list of problems.

    Args:
        reports: Of the scenes.
        missing: What the params name and is not there.
        frame_stride: Every n-th frame is kept.
        console: Where to.
    """
    table = Table()
    table.add_column("scene", overflow="fold")
    for heading in ("frames", "kept"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("skipped", "depth", "fx fy cx cy", "mesh", "labels", "problems"):
        table.add_column(heading, overflow="fold")
    for report in reports:
        table.add_row(
            report.scene,
            str(report.n_frames),
            str(report.n_kept),
            ", ".join(f"{count} {status}" for status, count in sorted(report.skipped.items())),
            report.depth_size,
            report.calibration,
            report.mesh,
            report.labels,
            str(len(report.problems) or ""),
        )
    console.print(table)
    kept = sum(report.n_kept for report in reports)
    hours = sum(report.core_seconds for report in reports) / 3600
    console.print(
        f"{len(reports)} scenes, {kept} frames to keep at stride {frame_stride}; artifacts: about "
        f"{filesize.decimal(kept * BYTES_PER_FRAME)} and {hours:.2g} core-hours at 240x320",
        soft_wrap=True,
    )
    problems = [f"{report.scene}: {problem}" for report in reports for problem in report.problems]
    problems += missing
    console.print(f"{len(problems)} problems" + (":" if problems else ""))
    for problem in problems:
        console.print(f"  {problem}", soft_wrap=True, markup=False)
