"""Raw `.sens` -> all artifacts, against unpacking, export, point files and overlap."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.geometry.measure import cpu_seconds, in_fresh_process
from benchmarks.geometry.overlap_rows import QUICK_PAIRS, SAMPLED_PAIRS
from benchmarks.geometry.peer_jobs import chain_job
from benchmarks.geometry.rows import Row
from benchmarks.geometry.stage_jobs import STAGES
from benchmarks.geometry.workspace import Scans, Workspace


@dataclass
class Cost:
    """CPU seconds of the parts of one side, over all its frames."""

    parts: dict[str, float]
    n_frames: int

    def __add__(self, other: "Cost") -> "Cost":
        parts = {key: value + other.parts[key] for key, value in self.parts.items()}
        return Cost(parts, self.n_frames + other.n_frames)

    def ms_per_frame(self, without: str | None = None) -> float:
        """All parts but one, milliseconds a frame."""
        kept = (value for key, value in self.parts.items() if key != without)
        return sum(kept) * 1000 / self.n_frames

    def __str__(self) -> str:
        parts = self.parts.items()
        return ", ".join(f"{key} {value * 1000 / self.n_frames:.1f}" for key, value in parts)


def peer_cost(sens: Path, target: Path, frame_stride: int, n_sampled: int) -> Cost:
    """The peer's chain on one scan; its pairs are sampled and scaled."""
    shutil.rmtree(target, ignore_errors=True)
    job = in_fresh_process(chain_job, str(sens), str(target), frame_stride, n_sampled)
    n_frames = job.value.pop("n_frames")
    return Cost(job.value, n_frames)


def our_cost(raw_dir: Path, scene: str, out: Path, frame_stride: int, n_frames: int) -> Cost:
    """This pipeline's three stages on one scan."""
    shutil.rmtree(out / scene, ignore_errors=True)
    seconds = [cpu_seconds(run, str(raw_dir), scene, str(out), frame_stride)[0] for run in STAGES]
    return Cost({run.__name__: s for run, s in zip(STAGES, seconds, strict=True)}, n_frames)


def chain_rows(work: Workspace, scans: Scans) -> Iterator[Row]:
    """All parts, and all but the overlap."""
    work.artifacts(work.native)  # compiles
    theirs, ours = [], []
    for scene in scans.scenes:
        target = work.folder / "peer" / scans.raw_dir.name / scene
        n_sampled = QUICK_PAIRS if work.is_quick else SAMPLED_PAIRS
        theirs.append(peer_cost(scans.sens(scene), target, scans.frame_stride, n_sampled))
        n_frames = theirs[-1].n_frames
        out = work.folder / "chain"
        ours.append(our_cost(scans.raw_dir, scene, out, scans.frame_stride, n_frames))
    peer_total, our_total = (sum(costs[1:], costs[0]) for costs in (theirs, ours))
    note = f"{peer_total.n_frames} frames; ms: peer {peer_total}; ours {our_total}"
    for what, without, at_least in (("", None, 40.0), (" without overlap", "overlap", 12.0)):
        yield Row(
            f"raw .sens -> all artifacts{what} ({scans.text})",
            "ms CPU/frame",
            our_total.ms_per_frame(without),
            peer_total.ms_per_frame(without),
            at_least=at_least,
            note=note,
        )
