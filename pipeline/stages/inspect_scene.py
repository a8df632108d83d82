"""`inspect`: summaries, pictures and a rerun recording of a scene's artifacts.

Without options all tables are summarised and one picture of each kind is drawn; with options there
is only what they ask for.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from pipeline import layout
from pipeline.config import Pretraining, load_params
from pipeline.data.scene_sets import source_name
from pipeline.readers.labels import LABELS
from pipeline.reporting.inspection import SceneInspector
from pipeline.reporting.scene_contents import SceneContents
from pipeline.reporting.scene_summary import print_summary
from pipeline.schemas import ArtifactError
from pipeline.stages.common import StageError

#: The extra `rerun` of pyproject.toml.
RERUN = "rerun-sdk==0.41.0"


def set_source(text: str) -> str:
    """A source of sets as the table names it, whatever way its k is written."""
    try:
        return text if text == LABELS else source_name(float(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a k nor `{LABELS}`") from None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command line."""
    parser.description = (
        "Without options: all tables in the terminal, and a PNG of each kind. With some of --pair, "
        "--sets, --frame, --segments, --overlap, --voxels and --rerun: only these."
    )
    parser.add_argument("scene", metavar="SCENE|DIR", help="scene name, or its artifact folder")
    parser.add_argument(
        "--artifacts", type=Path, metavar="DIR", help="artifacts (default: params.yaml's dataset)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the PNGs")
    parser.add_argument(
        "--pair", type=int, nargs=2, metavar=("A", "B"), help="draw the matches of two frames"
    )
    parser.add_argument(
        "--sets",
        type=set_source,
        metavar="K|labels",
        help="draw the sets of this k, or of labels, that both frames of --pair see (default: a "
        "pair that shares about half of what it sees)",
    )
    parser.add_argument(
        "--frame", type=int, metavar="F", help="draw a frame: colour, depth, matches, segments"
    )
    parser.add_argument(
        "--segments", type=float, metavar="K", help="draw the segments of this k, of --frame too"
    )
    parser.add_argument("--overlap", action="store_true", help="draw the overlap of all pairs")
    parser.add_argument("--voxels", action="store_true", help="draw the voxels")
    parser.add_argument(
        "--rerun",
        type=Path,
        metavar="FILE.rrd",
        help=f"write a recording for rerun's viewer, with the matches of --pair and the segments "
        f"of --segments or all (needs {RERUN})",
    )


def find_scene(scene: str, artifacts: Path | None) -> tuple[Path, str]:
    """Artifacts folder and scene name of a command line.

    Raises:
        StageError: there is no such scene; the text lists those that exist.
    """
    folder = Path(scene).resolve()
    if os.sep in scene and not folder.is_dir():
        raise StageError(f"{scene}: no such folder; give a scene's name, or its artifact folder")
    if artifacts is None and folder.is_dir():
        artifacts, scene = folder.parent, folder.name
        missing = f"{folder}: holds no artifacts of a scene"
    else:
        artifacts = artifacts or layout.artifacts_dir(load_params().dataset.name)
        folder, missing = artifacts, f"{artifacts}: no artifacts of scene {scene!r}"
    if not _is_scene(artifacts, scene):
        known = ", ".join(
            sorted(path.name for path in folder.glob("*") if _is_scene(folder, path.name))
        )
        raise StageError(
            f"{missing}; it has {known or 'none: `snakemake --cores 2 all_artifacts` makes them'}"
        )
    return artifacts, scene


def _is_scene(artifacts: Path, scene: str) -> bool:
    return any(layout.artifact(artifacts, scene, kind).is_file() for kind in layout.ARTIFACT_KINDS)


def _check_frames(contents: SceneContents, frame_ids: list[int]) -> None:
    for frame_id in frame_ids:
        if frame_id not in contents.frame_ids:
            usable = list(map(str, contents.frame_ids))
            if len(usable) > 20:
                usable[10:-5] = ["..."]
            raise StageError(
                f"{contents.scene}: frame {frame_id} is not usable; usable are {', '.join(usable)}"
            )


def known_pair(contents: SceneContents) -> tuple[int, int]:
    """The pair that is drawn where none is named.

    Raises:
        ArtifactError: there is none.
    """
    pair = contents.default_pair()
    if pair is None:
        raise ArtifactError(f"{contents.scene}: it has no pair of usable frames")
    return pair


def draw(inspector: SceneInspector, args: argparse.Namespace) -> list[Path]:
    """Draw what the options name.

    Raises:
        ArtifactError: a table that is needed is missing or damaged.
    """
    drawn = []
    if args.pair:
        drawn.append(inspector.draw_pair(*args.pair))
    if args.sets is not None:
        a, b = args.pair or known_pair(inspector.contents)
        drawn.append(inspector.draw_sets(a, b, args.sets))
    if args.frame is not None:
        drawn.append(inspector.draw_frame(args.frame, args.segments))
    if args.segments is not None:
        drawn.append(inspector.draw_segments(args.segments))
    if args.overlap:
        drawn.append(inspector.draw_overlaps())
    if args.voxels:
        drawn.append(inspector.draw_voxels())
    return drawn


def draw_everything(inspector: SceneInspector) -> list[Path]:
    """Draw one picture of each kind; say which ones cannot be drawn."""
    contents = inspector.contents

    pictures: list[Callable[[], Path]] = [
        lambda: inspector.draw_pair(*known_pair(contents)),
        lambda: inspector.draw_sets(
            *known_pair(contents), next(iter(contents.set_sources), LABELS)
        ),
        lambda: inspector.draw_frame(contents.frame_ids[0], None),
        lambda: inspector.draw_segments(next(iter(contents.k_values), 0.0)),
        inspector.draw_overlaps,
        inspector.draw_voxels,
    ]
    drawn = []
    for picture in pictures:
        try:
            drawn.append(picture())
        except ArtifactError as error:
            print(f"not drawn: {error}")
    return drawn


def record(contents: SceneContents, args: argparse.Namespace) -> None:
    """Write the rerun recording.

    Raises:
        StageError: rerun is not installed.
        ArtifactError: a table that is needed is missing or damaged.
    """
    try:
        from pipeline.reporting.rerun_recording import record_scene
    except ImportError as error:
        raise StageError(
            f"--rerun needs a package that is not installed ({error}): pip install '{RERUN}'"
        ) from error
    pair = tuple(args.pair) if args.pair else contents.default_pair()
    k_values = contents.k_values if args.segments is None else [contents.known_k(args.segments)]
    record_scene(args.rerun, contents, pair, k_values)


def run(args: argparse.Namespace) -> None:
    """Print the summary or what was asked for; write the PNGs and the recording.

    Raises:
        StageError: there is no such scene or frame, or no usable frame, or rerun is missing.
        ArtifactError: a table is missing or damaged.
    """
    artifacts, scene = find_scene(args.scene, args.artifacts)
    console = Console()
    min_overlap = Pretraining.model_fields["min_overlap"].default
    console.print(f"[bold]{scene}[/bold] in {artifacts}\n", highlight=False)
    asked = (
        args.pair,
        args.sets,
        args.frame,
        args.segments,
        args.overlap or None,
        args.voxels or None,
    )
    is_all = all(option is None for option in (*asked, args.rerun))
    if is_all:
        print_summary(console, artifacts, scene, min_overlap)
    contents = SceneContents(artifacts, scene)
    if not contents.frame_ids:
        where = "above" if is_all else "without options"
        raise StageError(f"{scene}: not one usable frame; the statuses {where} say why")
    _check_frames(contents, [*(args.pair or ()), *([] if args.frame is None else [args.frame])])
    inspector = SceneInspector(contents, args.out or layout.inspection_dir(scene), min_overlap)
    drawn = draw(inspector, args)
    if args.rerun is not None:
        record(contents, args)
        drawn.append(args.rerun)
    for path in draw_everything(inspector) if is_all else drawn:
        print(f"wrote {path}")
