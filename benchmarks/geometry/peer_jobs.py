"""The peer's scripts as they are timed: each in a process of its own that imports what they import.

Open3D ends every Python loop over a list of neighbours by a C++ exception, and that costs the more
the more libraries are loaded: beside torch and pyarrow the peer would be twice as slow.
"""

from pathlib import Path

import numpy as np

from benchmarks.geometry import peer
from benchmarks.geometry.measure import cpu_seconds


def sample_pairs(n_frames: int, n_pairs: int) -> list[tuple[int, int]]:
    """Random unordered pairs (i < j), without replacement."""
    pairs = np.stack(np.triu_indices(n_frames, 1), axis=1)
    rng = np.random.default_rng(0)
    return [tuple(pair) for pair in rng.permutation(pairs)[:n_pairs].tolist()]


def overlap_job(clouds_file: str, n_pairs: int) -> dict[str, object]:
    """Overlap of sampled pairs.

    Args:
        clouds_file: npz of one cloud float64 (N, 3) a frame.
        n_pairs: Size of the sample; see `sample_pairs`.

    Returns:
        CPU seconds: `cells` (all frames), `search` and `lean` (the sampled pairs); `shares` of
        the sampled pairs.
    """
    with np.load(clouds_file) as stored:
        raw = [stored[name] for name in stored.files]
    pairs = sample_pairs(len(raw), n_pairs)
    cells_s, clouds = cpu_seconds(lambda: [peer.downsample(cloud) for cloud in raw])
    search_s, shares = cpu_seconds(peer.overlap_pairs, clouds, pairs)
    lean_s, _ = cpu_seconds(peer.overlap_pairs, clouds, pairs, peer.share_counted)
    return {"cells": cells_s, "search": search_s, "lean": lean_s, "shares": shares}


def chain_job(sens: str, target: str, frame_stride: int, n_pairs: int) -> dict[str, float]:
    """Export, points and overlap of one scan; pairs are sampled and scaled.

    Returns:
        CPU seconds of the parts, and `n_frames`, the kept frames.
    """
    folder = Path(target)
    export_s, _ = cpu_seconds(peer.export, Path(sens), folder, frame_stride)
    points_s, _ = cpu_seconds(peer.extract_points, folder)
    numbers = peer.frame_numbers(folder)
    clouds_s, clouds = cpu_seconds(
        lambda: [peer.downsample(peer.load_cloud(folder, number)) for number in numbers]
    )
    pairs = sample_pairs(len(numbers), n_pairs)
    search_s, _ = cpu_seconds(peer.overlap_pairs, clouds, pairs)
    scale = len(numbers) * (len(numbers) - 1) / 2 / len(pairs)
    overlap_s = clouds_s + search_s * scale
    return {
        "export": export_s,
        "points": points_s,
        "overlap": overlap_s,
        "n_frames": len(numbers),
    }
