"""Where the time of a frame goes: the functions that take most of it, themselves."""

import cProfile
import pstats
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.geometry.rows import Row
from benchmarks.geometry.stage_jobs import STAGES
from benchmarks.geometry.workspace import Workspace
from pipeline import layout
from pipeline.schemas import open_artifact

#: Functions that the note names.
_SHOWN = 14


def profile_rows(work: Workspace) -> Iterator[Row]:
    """All stages of the sequences under cProfile; a kernel's time is that of who calls it."""
    scans, out = work.native, work.folder / "profile"
    work.artifacts(scans)  # compiles
    profile = cProfile.Profile(time.process_time)
    for scene in scans.scenes:
        for stage in STAGES:
            profile.runcall(stage, str(scans.raw_dir), scene, str(out), scans.frame_stride)
    frames = (layout.artifact(out, scene, "frames") for scene in scans.scenes)
    n_frames = sum(open_artifact(file, "frames").metadata.num_rows for file in frames)
    own_ms: dict[str, float] = {}
    for (file, _, function), (_, _, seconds, *_) in pstats.Stats(profile).stats.items():
        name = f"{Path(file).stem}.{function}" if file != "~" else function.strip("<>{}")
        own_ms[name] = own_ms.get(name, 0.0) + 1000 * seconds / n_frames
    largest = sorted(own_ms.items(), key=lambda item: -item[1])[:_SHOWN]
    yield Row(
        f"all artifacts of a frame, under cProfile ({scans.text})",
        "ms CPU/frame",
        sum(own_ms.values()),
        note="of these " + ", ".join(f"{name} {ms:.1f}" for name, ms in largest),
    )
