"""`inspect`: summaries and pictures of a scene's artifacts."""

import argparse
from pathlib import Path

from rich.console import Console

from pipeline import layout
from pipeline.config import Pretraining, load_params
from pipeline.reporting.inspection import SceneInspector
from pipeline.reporting.scene_summary import print_summary
from pipeline.stages.common import StageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command line."""
    parser.add_argument("scene", metavar="SCENE|DIR", help="scene name, or its artifact folder")
    parser.add_argument(
        "--artifacts", type=Path, metavar="DIR", help="artifacts (default: params.yaml's dataset)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the PNGs")
    parser.add_argument("--pair", type=int, nargs=2, metavar=("A", "B"), help="draw these frames")
    parser.add_argument("--frame", type=int, metavar="F", help="draw the segments over this frame")
    parser.add_argument("--segments", type=float, metavar="K", help="draw the segments of this k")
    parser.add_argument("--voxels", action="store_true", help="draw the voxels")


def find_scene(scene: str, artifacts: Path | None) -> tuple[Path, str]:
    """Artifacts folder and scene name of a command line.

    Raises:
        StageError: there is no such scene; the text lists those that exist.
    """
    if artifacts is None and (folder := Path(scene)).is_dir():
        return folder.resolve().parent, folder.resolve().name
    folder = artifacts or layout.artifacts_dir(load_params().dataset.name)
    if not layout.scene_dir(folder, scene).is_dir():
        known = sorted(path.name for path in folder.glob("*") if path.is_dir())
        raise StageError(
            f"{folder}: no artifacts of scene {scene!r}; "
            f"it has {', '.join(known) or 'none: `snakemake --cores 2 all_artifacts` makes them'}"
        )
    return folder, scene


def _check_frames(inspector: SceneInspector, frame_ids: list[int]) -> None:
    for frame_id in frame_ids:
        if frame_id not in inspector.frame_ids:
            raise StageError(
                f"{inspector.scene}: frame {frame_id} is not usable; "
                f"usable are {', '.join(map(str, inspector.frame_ids))}"
            )


def draw(inspector: SceneInspector, args: argparse.Namespace) -> list[Path]:
    """Draw what the options name; without options everything.

    Raises:
        StageError: an option names a frame that is not usable.
    """
    everything = not (
        args.pair or args.frame is not None or args.segments is not None or args.voxels
    )
    pair = tuple(args.pair) if args.pair else inspector.default_pair()
    frame = args.frame if args.frame is not None else (pair or inspector.frame_ids)[0]
    _check_frames(inspector, [*(pair or ()), frame])
    drawn = []
    if (everything or args.pair) and pair is not None:
        drawn.append(inspector.draw_pair(*pair))
    if everything or args.frame is not None or args.segments is not None:
        drawn.append(inspector.draw_segments(frame, args.segments))
    if everything or args.voxels:
        drawn.append(inspector.draw_voxels())
    if everything:
        drawn.append(inspector.draw_overlaps())
    return drawn


def run(args: argparse.Namespace) -> None:
    """Print the summary and write the PNGs."""
    artifacts, scene = find_scene(args.scene, args.artifacts)
    console = Console()
    min_overlap = Pretraining.model_fields["min_overlap"].default
    console.print(f"[bold]{scene}[/bold] in {artifacts}\n", highlight=False)
    print_summary(console, artifacts, scene, min_overlap)
    inspector = SceneInspector(
        artifacts, scene, args.out or layout.inspection_dir(scene), min_overlap
    )
    if not inspector.frame_ids:
        raise StageError(f"{scene}: not one usable frame; see the statuses above")
    console.print()
    for path in draw(inspector, args):
        print(f"wrote {path}")
