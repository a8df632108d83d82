"""Overlap of all pairs of a scene, exactly, against one search per point."""

from collections.abc import Iterator

import numpy as np

from benchmarks.geometry.measure import cpu_seconds, in_fresh_process
from benchmarks.geometry.peer import CELL_M, RADIUS_M
from benchmarks.geometry.peer_jobs import overlap_job, sample_pairs
from benchmarks.geometry.rows import Row
from benchmarks.geometry.workspace import Workspace
from pipeline.geometry.overlap import compute_overlaps, depth_to_cloud, downsample_cloud

#: Pairs of each sequence that the baseline is run on; its cost is scaled to all of them.
SAMPLED_PAIRS, QUICK_PAIRS = 60, 6


def overlap_rows(work: Workspace) -> Iterator[Row]:
    """The search alone, and with the down-sampling of the clouds; values must be equal."""
    n_sampled, repeats = (QUICK_PAIRS, 1) if work.is_quick else (SAMPLED_PAIRS, 5)
    scenes = [_compare(work, scene, n_sampled, repeats) for scene in work.scenes]
    n_pairs = sum(scene["pairs"] for scene in scenes)
    worst = max(scene["difference"] for scene in scenes)

    def ms(*parts: str) -> float:
        return sum(scene[part] for scene in scenes for part in parts) / n_pairs * 1000

    note = (
        f"{n_pairs} pairs of {len(scenes)} sequences, baseline on {n_sampled} of each, scaled; "
        f"largest difference of the values {worst:g}"
    )
    lean = f"; a leaner loop around the same search: {ms('peer lean search'):.2f} ms"
    ours, theirs = ms("our search"), ms("peer search")
    yield Row(
        "overlap, search alone",
        "ms CPU/pair",
        ours,
        theirs,
        at_least=150,
        is_equal=worst == 0,
        note=note + lean,
    )
    ours, theirs = ms("our search", "our cells"), ms("peer search", "peer cells")
    what = "overlap, with down-sampling"
    yield Row(what, "ms CPU/pair", ours, theirs, is_equal=worst == 0, note=note)


def _compare(work: Workspace, scene: str, n_sampled: int, repeats: int) -> dict[str, float]:
    """CPU seconds of the parts of both sides for all pairs of a scene, and how values differ."""
    raw = [depth_to_cloud(view.depth, view.K, view.T_world_camera) for view in work.views(scene)]
    n_pairs = len(raw) * (len(raw) - 1) // 2
    pairs = sample_pairs(len(raw), n_sampled)
    clouds_file = work.folder / "clouds.npz"
    np.savez(clouds_file, *raw)
    theirs = in_fresh_process(overlap_job, str(clouds_file), n_sampled).value

    def cells() -> list[np.ndarray]:
        return [downsample_cloud(cloud, CELL_M) for cloud in raw]

    compute_overlaps(cells()[:2], RADIUS_M)  # compiled, if it was not
    cells_s, clouds = cpu_seconds(cells, repeats=repeats)
    search_s, directed = cpu_seconds(compute_overlaps, clouds, RADIUS_M, repeats=repeats)
    found = np.array([(directed[i, j], directed[j, i]) for i, j in pairs])
    return {
        "pairs": n_pairs,
        "difference": float(np.abs(found - np.float32(theirs["shares"])).max()),
        "peer cells": theirs["cells"],
        "peer search": theirs["search"] * n_pairs / len(pairs),
        "peer lean search": theirs["lean"] * n_pairs / len(pairs),
        "our cells": cells_s,
        "our search": search_s,
    }
