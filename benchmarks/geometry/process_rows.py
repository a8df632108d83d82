"""Peak memory of a worker, and what the start of a process costs."""

import tempfile
from collections.abc import Iterator

from benchmarks.geometry.measure import in_fresh_process
from benchmarks.geometry.recordings import make_long_room, scan_files, write_longer
from benchmarks.geometry.rows import Row, SkippedError
from benchmarks.geometry.stage_jobs import STAGES, extract, overlap
from benchmarks.geometry.workspace import Workspace

N_FRAMES, QUICK_FRAMES = 1000, 60
#: Raw frames and strides of the long recording: few and many frames kept, of few and many.
LONG_RUNS = ((600, 25), (6000, 250), (6000, 25))


def memory_rows(work: Workspace) -> Iterator[Row]:
    """A scene of 1,000 kept frames: streaming, with a mesh and fusing one; all overlaps."""
    n_frames = QUICK_FRAMES if work.is_quick else N_FRAMES
    raw_dir, out = work.folder / "scans_memory", work.folder / "memory"
    scene = work.scenes[0]
    sens, ply = work.native.sens(scene), work.native.ply(scene)
    write_longer(raw_dir, "meshed", sens, n_frames, ply)
    write_longer(raw_dir, "bare", sens, n_frames, None)
    n_pairs = n_frames * (n_frames - 1) // 2
    for what, stage, name, at_most, n, unit in (
        (f"extract, {n_frames:,} frames", extract, "meshed", 400.0, n_frames, "frame"),
        (f"overlap, {n_pairs:,} pairs", overlap, "meshed", 800.0, n_pairs, "pair"),
        (f"extract, {n_frames:,} frames, mesh fused", extract, "bare", None, n_frames, "frame"),
    ):
        run = in_fresh_process(stage, str(raw_dir), name, str(out))
        yield Row(
            f"peak memory: {what}",
            "MB",
            run.peak_mb,
            at_most=at_most,
            note=f"{run.cpu_s / n * 1000:.3g} ms CPU/{unit}, start of the process included",
        )


def long_rows(work: Workspace) -> Iterator[Row]:
    """Memory against raw length: a recording of 6,000 frames, its start, and every 250th of it.

    Raises:
        SkippedError: no folder was given for it.
    """
    if work.long_folder is None:
        raise SkippedError("needs --long DIR, where a room of 6,000 frames is made (20 min)")
    source, scene = make_long_room(work.long_folder)
    sens, ply = scan_files(source, scene)
    for n_raw, stride in LONG_RUNS:
        raw_dir = work.folder / f"scans_{n_raw}"
        if not raw_dir.exists():
            write_longer(raw_dir, scene, sens, n_raw, ply)
        for stage in (extract, overlap):
            out = str(work.folder / f"long_{n_raw}_{stride}")
            run = in_fresh_process(stage, str(raw_dir), scene, out, stride)
            yield Row(
                f"peak memory: {stage.__name__}, {n_raw:,} raw frames, every {stride}th kept",
                "MB",
                run.peak_mb,
                note=f"{run.cpu_s:.1f} s CPU; {run.value.removeprefix(f'{scene}: ')}",
            )


def start_rows(work: Workspace) -> Iterator[Row]:
    """CPU of a scene's three jobs for two frames: start, imports and loading of compiled code."""
    raw_dir = work.folder / "scans_start"
    scene = work.scenes[0]
    sens, ply = work.native.sens(scene), work.native.ply(scene)
    write_longer(raw_dir, "tiny", sens, 2, ply)

    def jobs(environment: dict[str, str]) -> list[float]:
        out = tempfile.mkdtemp(dir=work.folder)
        return [
            in_fresh_process(stage, str(raw_dir), "tiny", out, environment=environment).cpu_s
            for stage in STAGES
        ]

    jobs({})
    warm, cold = jobs({}), jobs({"NUMBA_CACHE_DIR": tempfile.mkdtemp(dir=work.folder)})
    for what, seconds, compilation in (
        ("numba's cache warm", warm, "not counted"),
        ("numba's cache empty", cold, "counted"),
    ):
        parts = zip(STAGES, seconds, strict=True)
        shown = ", ".join(f"{stage.__name__} {cost:.2f}" for stage, cost in parts)
        yield Row(
            f"three jobs of a scene of 2 frames, {what}",
            "s CPU/scene",
            sum(seconds),
            compilation=compilation,
            note=shown,
        )
