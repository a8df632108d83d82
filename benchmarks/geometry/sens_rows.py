"""Index of a `.sens`, and disk of the artifacts."""

import os
import time
from collections import Counter
from collections.abc import Iterator

from benchmarks.geometry.measure import cpu_seconds
from benchmarks.geometry.recordings import scan_files, write_longer
from benchmarks.geometry.rows import Row
from benchmarks.geometry.workspace import Workspace
from pipeline import layout
from pipeline.readers.sens import open_sens
from pipeline.schemas import open_artifact

N_FRAMES = 1000
#: Everything that training reads of a scene, but for the parts below.
TRAINED_ON = ("frames", "correspondences", "voxels", "overlaps", "sets", "segments")
#: Parts of these files for people to look at.
NOT_TRAINED_ON = ("distance_mm", "xyz_world.list.element", "segments of vertices")


def index_rows(work: Workspace) -> Iterator[Row]:
    """Wall time of opening a recording of 1,000 frames, from the page cache and from the disk."""
    scene, raw_dir = "long", work.folder / "scans_index"
    write_longer(raw_dir, scene, work.native.sens(work.scenes[0]), N_FRAMES, None)
    sens, _ = scan_files(raw_dir, scene)
    cached_s, _ = cpu_seconds(open_sens, sens, repeats=9, clock=time.perf_counter)
    with sens.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    cold_s, _ = cpu_seconds(open_sens, sens, clock=time.perf_counter)
    yield Row(
        "index of a .sens of 1,000 frames",
        "s wall",
        cached_s,
        at_most=0.05,
        compilation="no numba",
        note=f"{sens.stat().st_size / 1e6:.0f} MB; right after dropping it from the page cache "
        f"{cold_s:.3f} s",
    )


def disk_rows(work: Workspace) -> Iterator[Row]:
    """Bytes of the artifacts per kept frame at 240x320, all five k."""
    out = work.artifacts(work.native)
    n_frames = sum(len(work.views(scene)) for scene in work.scenes)
    files = {
        kind: [layout.artifact(out, scene, kind) for scene in work.scenes]
        for kind in layout.ARTIFACT_KINDS
    }
    files["mesh"] = [layout.mesh(out, scene) for scene in work.scenes]
    kilobytes = {
        kind: sum(path.stat().st_size for path in paths) / 1000 / n_frames
        for kind, paths in files.items()
    }
    columns: Counter[str] = Counter()
    for kind in TRAINED_ON:
        for path in files[kind]:
            metadata = open_artifact(path, kind).metadata
            for group in range(metadata.num_row_groups):
                row_group = metadata.row_group(group)
                for number in range(row_group.num_columns):
                    column = row_group.column(number)
                    size = column.total_compressed_size / 1000 / n_frames
                    # The first half of the row groups of the segments is of vertices.
                    of_vertices = kind == "segments" and group < metadata.num_row_groups // 2
                    columns["segments of vertices" if of_vertices else column.path_in_schema] += (
                        size
                    )
    unread = sum(columns[name] for name in NOT_TRAINED_ON)
    shown = ", ".join(f"{kind} {size:.1f}" for kind, size in kilobytes.items())
    of_columns = ", ".join(
        f"{name} {columns[name]:.1f}" for name in ("color", "depth", "distance_mm")
    )
    yield Row(
        "disk, everything training needs at 240x320",
        "kB/frame",
        sum(kilobytes[kind] for kind in TRAINED_ON) - unread,
        at_most=130.0,
        compilation="no numba",
        note=f"{n_frames} frames of {len(work.scenes)} scenes; {shown}; of these: "
        f"{of_columns}; without {', '.join(NOT_TRAINED_ON)}, labelled frames and mesh",
    )
    yield Row(
        "disk, all files of a scene",
        "kB/frame",
        sum(kilobytes.values()),
        compilation="no numba",
        note="the mesh and what it decides weigh more than in ScanNet, whose scenes have twice as "
        "many frames",
    )
