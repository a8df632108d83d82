"""Invariants of the sets: known sources, and as many pixels as the frame sees of each."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int32, Int64

from pipeline.geometry.projection import majority_per_voxel
from pipeline.readers.labels import LABELS, label_sets
from pipeline.reporting.validation.findings import Findings, repeated
from pipeline.reporting.validation.scene import StoredScene, frame_groups
from pipeline.reporting.validation.values import ragged


def check_sets(scene: StoredScene, found: Findings) -> None:
    """Sets exist, stand once a frame, are not too small, and have as many pixels as they say."""
    min_pixels = scene.setting("sets", "min_pixels", int)
    is_joined = scene.setting("sets", "projection", str) == "voxel_map"
    sources = _sources(scene)
    n_sets = {source: int(ids.max(initial=-1)) + 1 for source, ids in sources["vertex"].items()}
    unseen = set(scene.frames_with_matches) if is_joined else set()
    for frame_id, table in frame_groups(scene, "sets", found):
        unseen.discard(frame_id)
        if frame_id not in scene.usable:
            found.add(f"frame {frame_id}", "is not a usable frame of frames.parquet")
        elif _check_rows(table, n_sets, min_pixels, f"frame {frame_id}", found):
            if is_joined:
                _check_counts(scene, frame_id, table, sources["voxel"], min_pixels, found)
            else:
                _check_pixels(scene, frame_id, table, found)
    nothing = scene.table("sets").schema_arrow.empty_table()
    for frame_id in sorted(unseen):
        _check_counts(scene, frame_id, nothing, sources["voxel"], min_pixels, found)


def _sources(scene: StoredScene) -> dict[str, dict[str, Int32[np.ndarray, " n"]]]:
    """`vertex` and `voxel` -> source -> set of each vertex or voxel, -1 none."""
    sets: dict[str, dict[str, np.ndarray]] = {"vertex": {}, "voxel": {}}
    n_vertices = len(scene.mesh.vertices)
    n_elements = {"vertex": n_vertices, "voxel": len(scene.voxels)}
    for group, table in enumerate(scene.groups("segments")):
        element = table["element"][0].as_py() if table.num_rows else ""
        ids = table["segment_id"].to_numpy()
        if n_elements.get(element) != len(ids) or ids.max(initial=-1) >= n_vertices:
            what = "is not a segment_id for each vertex, or voxel"
            raise scene.unusable("segments", what, f"row group {group}")
        sets[element][f"{table['k'][0].as_py():g}"] = ids
    if scene.mesh.label is not None:
        classes = label_sets(scene.mesh.label)
        sets["vertex"][LABELS] = classes
        sets["voxel"][LABELS] = majority_per_voxel(classes, scene.vertex_voxel, len(scene.voxels))
    return sets


def _check_rows(
    table: pa.Table, n_sets: Mapping[str, int], min_pixels: int, where: str, found: Findings
) -> bool:
    """Each row by itself; returns whether the sets that the rows name exist."""
    source = np.array(table["set_source"].to_pylist())
    set_id, n_pixels = (table[name].to_numpy() for name in ("set_id", "n_pixels"))
    what = f"set_source must be one of {', '.join(n_sets)}"
    if not found.rows(where, ~np.isin(source, list(n_sets)), what, source):
        return False
    limit = np.array([n_sets[name] for name in source.tolist()])
    what = "set_id must be a segment or class of the mesh"
    is_known = found.rows(where, (set_id < 0) | (set_id >= limit), what, set_id)
    is_again = repeated((_numbered(source.tolist()) << 32) + set_id)
    found.rows(where, is_again, "a set must stand once a frame; set_id", set_id)
    found.rows(where, n_pixels < min_pixels, f"n_pixels must be {min_pixels} or more", n_pixels)
    return is_known


def _check_counts(
    scene: StoredScene,
    frame_id: int,
    table: pa.Table,
    voxel_sets: Mapping[str, Int32[np.ndarray, " m"]],
    min_pixels: int,
    found: Findings,
) -> None:
    """The sets are those that the frame's matches see, joined with the voxels' sets."""
    where, n_voxels = f"frame {frame_id}", len(scene.voxels)
    pixel = voxel = np.empty(0, np.int32)
    if (group := scene.frames_with_matches.get(frame_id)) is not None:
        matches = scene.read("correspondences", group, ["pixel", "voxel_index"])
        pixel, voxel = (matches[name].to_numpy() for name in ("pixel", "voxel_index"))
    if ((voxel < 0) | (voxel >= n_voxels)).any():
        return  # named by the check of the correspondences
    expected: dict[tuple[str, int], int] = {}
    for source, voxel_set in voxel_sets.items():
        shown = voxel_set[voxel]
        if (np.diff(pixel) <= 0).any():
            # A set counts a pixel once, however many of its voxels the pixel is matched with.
            shown = np.unique((shown.astype(np.int64) << 32) + pixel) >> 32
        counts = np.bincount(shown[shown >= 0])
        kept = np.flatnonzero(counts >= max(min_pixels, 1))
        expected |= {(source, i): int(counts[i]) for i in kept.tolist()}
    stated = list(zip(table["set_source"].to_pylist(), table["set_id"].to_pylist(), strict=True))
    n_pixels = table["n_pixels"].to_numpy()
    due = np.array([expected.get(key, 0) for key in stated], np.int64)
    what = "n_pixels must be those of the correspondences with a voxel of the set"
    found.rows(where, n_pixels != due, what, n_pixels)
    if missing := sorted(expected.keys() - set(stated)):
        source, set_id = missing[0]
        found.add(
            where, f"{len(missing)} sets that it sees are missing, first {set_id} of {source}"
        )
    if table["pixels"].null_count < table.num_rows:
        found.add(where, "pixels must be null where projection is voxel_map")


def _check_pixels(scene: StoredScene, frame_id: int, table: pa.Table, found: Findings) -> None:
    """Stored pixels ascend, are pixels of the frame, and as many as n_pixels says."""
    where = f"frame {frame_id}"
    if (nulls := table["pixels"].null_count) > 0:
        found.add(where, f"pixels is null in {nulls} rows; projection ray_casting fills it")
        return
    view = scene.view(frame_id)
    lengths, pixel = ragged(table["pixels"])
    n_pixels = table["n_pixels"].to_numpy()
    found.rows(where, lengths != n_pixels, "n_pixels must be the length of pixels", n_pixels)
    row = np.repeat(np.arange(len(lengths)), lengths)

    def rows_with(is_wrong: Bool[np.ndarray, " n"]) -> Bool[np.ndarray, " r"]:
        return np.bincount(row[is_wrong], minlength=len(lengths)) > 0

    is_late = (np.diff(pixel, prepend=-1) <= 0) & (np.diff(row, prepend=-1) == 0)
    found.rows(where, rows_with(is_late), "pixels must ascend")
    source = _numbered(table["set_source"].to_pylist())[row]
    is_shared = repeated((source << 32) + pixel) & ~is_late
    found.rows(where, rows_with(is_shared), "pixels must be in one set of a set_source")
    if view is not None:
        is_outside = (pixel < 0) | (pixel >= view.depth.size)
        found.rows(where, rows_with(is_outside), f"pixels must be in 0..{view.depth.size - 1}")


def _numbered(names: list[str]) -> Int64[np.ndarray, " n"]:
    """Equal numbers for equal names."""
    return np.unique(names, return_inverse=True)[1].astype(np.int64)
