"""Invariants of the overlaps: every pair once, shares of one, and pixel pairs that match."""

import json

import numpy as np
import pyarrow as pa
from jaxtyping import Int32, Int64

from pipeline.config import Matching
from pipeline.geometry.camera import invert_pose, transform
from pipeline.reporting.validation.findings import Findings
from pipeline.reporting.validation.matches import EPSILON_M, depth_difference
from pipeline.reporting.validation.scene import StoredScene

_NUMBERS = ["frame_a", "frame_b", "overlap_ab", "overlap_ba", "overlap"]
_PIXELS = ["pixel_a", "pixel_b"]


def check_overlaps(scene: StoredScene, found: Findings) -> None:
    """Every pair of frames once, sorted; overlaps are shares; stored pixel pairs are matches.

    A frame whose colour alone is spoiled has overlaps without being usable.
    """
    keys = _check_numbers(scene, found)
    frames = np.unique([*scene.usable, *np.unique(keys >> 32), *np.unique(keys & 0xFFFFFFFF)])
    missing, n_missing = "", 0
    for n, frame in enumerate(frames.astype(np.int64)):
        start, end = np.searchsorted(keys, [frame << 32, (frame + 1) << 32])
        partners = np.setdiff1d(frames[n + 1 :], keys[start:end] & 0xFFFFFFFF)
        if len(partners):
            n_missing += len(partners)
            missing = missing or f"{frame} and {partners[0]:g}"
    if missing:
        found.add("", f"{n_missing} pairs of its {len(frames)} frames are missing, first {missing}")
    _check_pixel_pairs(scene, found)


def _check_numbers(scene: StoredScene, found: Findings) -> Int64[np.ndarray, " p"]:
    """All but the pixels; returns frame_a << 32 | frame_b of all pairs, sorted."""
    frame_ids = np.array(scene.frame_ids, np.int64)
    keys, previous, row = [np.empty(0, np.int64)], -1, 0
    for table in scene.groups("overlaps", _NUMBERS):
        a, b = (table[name].to_numpy().astype(np.int64) for name in _NUMBERS[:2])
        pairs = np.stack([a, b], axis=1)
        found.rows("", a >= b, "frame_a must be below frame_b", pairs, row)
        is_unknown = ~np.isin(pairs, frame_ids)
        found.rows("", is_unknown, "must be a pair of frames of frames.parquet", pairs, row)
        key = (a << 32) + b
        is_late = np.diff(key, prepend=previous) <= 0
        found.rows("", is_late, "pairs must be sorted, one row each", pairs, row)
        _check_values(table, row, found)
        keys.append(key)
        previous, row = int(key[-1]) if len(key) else previous, row + len(key)
    return np.sort(np.concatenate(keys))


def _check_values(table: pa.Table, row: int, found: Findings) -> None:
    values = np.stack([table[name].to_numpy() for name in _NUMBERS[2:]], axis=1)
    is_share = (values >= 0) & (values <= 1)
    what = "overlap_ab, overlap_ba and overlap must be in [0, 1]"
    found.rows("", ~is_share, what, values, row)
    is_wrong = values[:, 2] != values[:, :2].max(axis=1)
    found.rows("", is_wrong, "overlap must be the larger of overlap_ab and overlap_ba", values, row)


def _check_pixel_pairs(scene: StoredScene, found: Findings) -> None:
    """Pairs that overlap by `pixel_pairs_from` or more, and no others, have matched pixels."""
    threshold = scene.setting("overlaps", "pixel_pairs_from", json.loads)
    matching = None
    if threshold is not None:
        matching = scene.setting("overlaps", "matching", Matching.model_validate_json)
    row = 0
    for table in scene.groups("overlaps"):
        overlap = table["overlap"].to_numpy()
        due = overlap >= np.float32(np.inf if threshold is None else threshold)
        stored = np.stack([table[name].is_valid().to_numpy() for name in _PIXELS], axis=1)
        what = f"pixel_a and pixel_b must be there where overlap is at least {threshold}, else null"
        is_right = found.rows("", stored != due[:, None], what, overlap, row)
        if is_right and matching is not None:
            for i in np.flatnonzero(due):
                values = [table[name][i] for name in (*_NUMBERS[:2], *_PIXELS)]
                a, b = (value.as_py() for value in values[:2])
                pixels = [value.values.to_numpy() for value in values[2:]]
                _check_pair(scene, (a, b), pixels, matching, found)
        row += len(overlap)


def _check_pair(
    scene: StoredScene,
    pair: tuple[int, int],
    pixels: list[Int32[np.ndarray, " _"]],
    matching: Matching,
    found: Findings,
) -> None:
    """Pixels are in range, those of a ascend, and each two match by the definition of the mode."""
    where = "frames {} and {}".format(*pair)
    view_a, view_b = (scene.view(frame_id) for frame_id in pair)
    if view_a is None or view_b is None:
        return
    pixel_a, pixel_b = pixels
    if len(pixel_a) != len(pixel_b):
        found.add(where, f"pixel_a has {len(pixel_a)} pixels, pixel_b {len(pixel_b)}")
        return
    found.rows(where, np.diff(pixel_a, prepend=-1) <= 0, "pixel_a must ascend", pixel_a)
    both = np.stack(pixels, axis=1)
    is_outside = (both < 0) | (both >= (view_a.depth.size, view_b.depth.size))
    if not found.rows(where, is_outside, "pixel_a and pixel_b must be in the pictures", both):
        return
    T_b_a = invert_pose(view_b.T_world_camera) @ view_a.T_world_camera
    points = transform(T_b_a, view_a.camera_points(pixel_a))
    if matching.mode == "strict":
        difference = np.linalg.norm(points - view_b.camera_points(pixel_b), axis=1)
    else:
        difference = depth_difference(view_b, points, pixel_b)
    tolerance = matching.pixel_tolerance_m
    what = f"pixel_a and pixel_b must match within {tolerance:g} m ({matching.mode})"
    found.rows(where, ~(difference <= tolerance + EPSILON_M), what, difference)
