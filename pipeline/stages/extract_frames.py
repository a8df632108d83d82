"""`extract-frames`: a raw scene -> frames, mesh, voxels, correspondences and labelled frames."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline import layout
from pipeline.config import Matching, Params
from pipeline.geometry.correspondence import VoxelMatcher
from pipeline.geometry.mesh import Mesh, write_ply
from pipeline.geometry.voxels import Voxels, voxelize
from pipeline.readers import READERS
from pipeline.readers.base import Scene
from pipeline.readers.imaging import resize_color
from pipeline.readers.labels import map_labels
from pipeline.schemas import open_artifact, write_table
from pipeline.stages.common import StageError, expand
from pipeline.stages.frame_rows import (
    Row,
    arrays,
    counted,
    decode_depth,
    describe_counts,
    frame_row,
    labelled_row,
)
from pipeline.stages.scene_jobs import add_arguments as add_arguments
from pipeline.stages.scene_jobs import open_raw_scene, provenance, runner


def extract_scene(params: Params, scene: str, out_dir: Path, with_labels: bool = True) -> str:
    """Make the artifacts that come straight from the raw frames.

    Frames stream through: memory does not depend on their number. Voxels are matched to the
    frames as they are stored, so that training sees the very pixels that were matched.

    Args:
        params: Uses dataset, labelled, geometry.voxel_size_m, .fusion and .matching.
        scene: Scene name.
        out_dir: Artifacts folder of all scenes.
        with_labels: Whether to look for labelled frames; without, their table is empty.

    Returns:
        One line that sums up what was made.

    Raises:
        StageError: no frame can be used, or the scene has no usable mesh.
        ReaderError: the raw scene is missing or damaged.
    """
    raw = open_raw_scene(params.dataset, scene)
    dataset, matching = params.dataset, params.geometry.matching
    stored = {"frame_stride": dataset.frame_stride, "image_size": dataset.image_size}

    def write(kind: str, rows: Iterator[Row], settings: dict, reader: str = dataset.reader) -> Path:
        path = layout.artifact(out_dir, scene, kind)
        write_table(path, kind, rows, provenance(scene, reader, settings))
        return path

    counts: Counter[str] = Counter()
    frames = write("frames", _frame_rows(raw, dataset.image_size, counts), stored)

    mesh, mesh_settings = _scene_mesh(params, raw)
    write_ply(layout.mesh(out_dir, scene), mesh)
    try:
        voxels = voxelize(mesh.vertices, mesh.rgb, params.geometry.voxel_size_m)
    except ValueError as error:
        raise StageError(f"{scene}: {error}") from error
    settings = {
        **mesh_settings,
        "voxel_size_m": voxels.voxel_size_m,
        "grid_origin": voxels.grid_origin.tolist(),
    }
    write("voxels", iter([_voxel_columns(voxels)]), settings)

    matches: Counter[str] = Counter()
    write(
        "correspondences",
        _correspondence_rows(frames, _matcher(voxels, matching), matches),
        {**settings, **stored, **_matching_settings(matching)},
    )
    labelled: Counter[str] = Counter()
    write(
        "labelled_frames",
        _labelled_rows(params, scene, labelled) if with_labels else iter(()),
        {
            **params.labelled.model_dump(include={"frame_stride", "label_map"}),
            "image_size": dataset.image_size,
        },
        params.labelled.reader,
    )
    return (
        f"{scene}: {describe_counts(counts)}; {len(voxels.coords)} voxels, "
        f"{matches['rows']} matches; labelled: {describe_counts(labelled)}"
    )


run = runner(extract_scene)


def _frame_rows(raw: Scene, size: tuple[int, int], counts: Counter[str]) -> Iterator[Row]:
    """Rows of all frames; StageError at the end if none can be used."""
    reasons: dict[str, str] = {}
    for frame in counted(raw, counts, reasons):
        yield frame_row(frame, size)
    if not counts["ok"]:
        examples = "".join(f"\n  {status}: {reason}" for status, reason in reasons.items())
        raise StageError(
            f"{raw.scene_id}: nothing is left of {describe_counts(counts)}. First of each kind:"
            f"{examples or ' none'}\nRepair the files, or leave the scene out of dataset.scenes."
        )


def _scene_mesh(params: Params, raw: Scene) -> tuple[Mesh, dict[str, object]]:
    """The dataset's mesh or a fused one, and the params that it depends on.

    Vertex labels become classes (255 none), as in the labelled frames.
    """
    mesh = raw.load_mesh() if params.dataset.mesh == "dataset" else None
    if mesh is None:
        return _fuse(params, raw), {
            "mesh": "fused",
            "frame_stride": params.dataset.frame_stride,
            "fusion": params.geometry.fusion.model_dump(),
        }
    if mesh.label is not None:
        classes = map_labels(mesh.label, params.labelled.label_map)
        mesh = replace(mesh, label=classes.astype(np.uint16))
    return mesh, {"mesh": "dataset"}


def _fuse(params: Params, raw: Scene) -> Mesh:
    from pipeline.geometry.fusion import FusionError, fuse_mesh

    usable = (arrays(frame) for frame in raw.frames() if frame.status == "ok")
    frames = (
        (depth, resize_color(color, depth.shape[:2]), K, T_world_camera)
        for depth, color, K, T_world_camera in usable
    )
    try:
        return fuse_mesh(frames, **params.geometry.fusion.model_dump())
    except FusionError as error:
        raise StageError(f"{raw.scene_id}: {error}") from error


def _voxel_columns(voxels: Voxels) -> Row:
    return {
        "voxel_index": np.arange(len(voxels.coords), dtype=np.int32),
        "voxel_coords": voxels.coords,
        "xyz_world": voxels.xyz_world,
        "rgb": voxels.rgb,
        "n_vertices": voxels.n_vertices,
    }


def _matcher(voxels: Voxels, matching: Matching) -> VoxelMatcher:
    is_strict = matching.mode == "strict"
    tolerance_m = matching.radius_m if is_strict else matching.pri3d_voxel_z_m
    return VoxelMatcher(voxels, matching.mode, tolerance_m)


def _matching_settings(matching: Matching) -> dict[str, object]:
    """The tolerances of the mode in use. That of pixel pairs is used when they are drawn."""
    used = {"strict": {"radius_m"}, "pri3d": {"pri3d_voxel_z_m", "pri3d_pixel_z_m"}}
    return {"matching_mode": matching.mode, **matching.model_dump(include=used[matching.mode])}


def _correspondence_rows(frames: Path, matcher: VoxelMatcher, n: Counter[str]) -> Iterator[Row]:
    """Matches of each stored frame that has any; `n["rows"]` counts them."""
    parquet = open_artifact(frames, "frames")
    columns = ["frame_id", "status", "T_world_camera", "K", "width", "height", "depth"]
    for group in range(parquet.num_row_groups):
        table: pa.Table = parquet.read_row_group(group, columns=columns)
        (row,) = table.to_pylist()
        if row["status"] != "ok":
            continue
        pixel, voxel_index, distance_mm = matcher.match(
            decode_depth(row["depth"], (row["height"], row["width"])),
            np.array(row["K"]).reshape(3, 3),
            np.array(row["T_world_camera"]).reshape(4, 4),
        )
        if len(pixel):
            n["rows"] += len(pixel)
            yield {
                "frame_id": np.full(len(pixel), row["frame_id"], dtype=np.int32),
                "pixel": pixel,
                "voxel_index": voxel_index,
                "distance_mm": distance_mm,
            }


def _labelled_rows(params: Params, scene: str, counts: Counter[str]) -> Iterator[Row]:
    """Rows of the scene's labelled frames; none for a scene without any."""
    labelled = params.labelled
    reader, raw_dir = READERS[labelled.reader], expand(labelled.raw_dir)
    if not raw_dir.is_dir():
        raise StageError(f"labelled.raw_dir: {raw_dir} does not exist. expected:\n{reader.layout}")
    if not any(path.is_dir() for path in reader.scene_files(raw_dir, scene)):
        return
    for frame in counted(open_raw_scene(labelled, scene), counts, {}):
        yield labelled_row(frame, params.dataset.image_size, labelled.label_map)
