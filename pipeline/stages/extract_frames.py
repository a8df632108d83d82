"""`extract-frames`: a raw scene -> frames, mesh, voxels, correspondences and labelled frames."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline import layout
from pipeline.config import Matching, Params
from pipeline.digest import hash_files
from pipeline.geometry.correspondence import VoxelMatcher
from pipeline.geometry.mesh import Mesh, write_ply
from pipeline.geometry.voxels import Voxels, voxelize
from pipeline.readers import READERS
from pipeline.readers.base import Scene
from pipeline.readers.imaging import decode_depth, resize_color
from pipeline.readers.labels import map_labels
from pipeline.schemas import table_writer, write_table
from pipeline.stages.common import StageError, expand
from pipeline.stages.frame_rows import FrameLog, Row, arrays, frame_row, labelled_row
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
    dataset, labelled = params.dataset, params.labelled
    size = dataset.image_size
    file = {kind: layout.artifact(out_dir, scene, kind) for kind in layout.ARTIFACT_KINDS}

    mesh, mesh_settings = _scene_mesh(params, raw)
    try:
        voxels = voxelize(mesh.vertices, mesh.rgb, params.geometry.voxel_size_m)
    except ValueError as error:
        raise StageError(f"{scene}: {error}") from error
    mesh_file = layout.mesh(out_dir, scene)
    write_ply(mesh_file, mesh)
    grid = {
        **mesh_settings,
        "voxel_size_m": voxels.voxel_size_m,
        "grid_origin": voxels.grid_origin.tolist(),
    }
    origin = provenance(scene, dataset.reader, hash_files(mesh_file), grid)
    write_table(file["voxels"], "voxels", [_voxel_columns(voxels)], lambda: origin)

    log, n_matches = FrameLog(), 0
    stored = {"frame_stride": dataset.frame_stride, "image_size": size}
    matcher, matching = _matcher(voxels, params.geometry.matching)

    def frames_origin() -> dict[str, str]:
        return provenance(scene, dataset.reader, log.inputs_sha256, stored)

    def matches_origin() -> dict[str, str]:
        sha256 = hash_files(file["frames"], file["voxels"])
        return provenance(scene, dataset.reader, sha256, {**grid, **stored, **matching})

    # The frames are closed first: the matches' origin is their file.
    with (
        table_writer(file["correspondences"], "correspondences", matches_origin) as write_matches,
        table_writer(file["frames"], "frames", frames_origin) as write_frame,
    ):
        for frame in log.watch(raw.frames(color_size=size)):
            row = frame_row(frame, size)
            write_frame(row)
            if frame.status == "ok" and len((matches := _match(row, size, matcher))["pixel"]):
                write_matches(matches)
                n_matches += len(matches["pixel"])
        _check_some_usable(scene, log)

    labelled_log = FrameLog(hashed=("T_world_camera", "K", "label"))
    label_settings = labelled.model_dump(include={"frame_stride", "label_map"})

    def labelled_origin() -> dict[str, str]:
        used = {**label_settings, "image_size": size}
        return provenance(scene, labelled.reader, labelled_log.inputs_sha256, used)

    labelled_rows = _labelled_rows(params, scene, labelled_log) if with_labels else iter(())
    write_table(file["labelled_frames"], "labelled_frames", labelled_rows, labelled_origin)
    return (
        f"{scene}: {log}; {len(voxels.coords)} voxels, {n_matches} matches; "
        f"labelled: {labelled_log}"
    )


run = runner(extract_scene)


def _check_some_usable(scene: str, log: FrameLog) -> None:
    """StageError if none of the frames can be used."""
    if not log.counts["ok"]:
        examples = "".join(f"\n  {status}: {reason}" for status, reason in log.reasons.items())
        raise StageError(
            f"{scene}: nothing is left of {log}. First of each kind:"
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

    log, names = FrameLog(), ("depth", "color", "K", "T_world_camera")
    usable = (arrays(frame, *names) for frame in log.watch(raw.frames()) if frame.status == "ok")
    frames = (
        (depth, resize_color(color, depth.shape[:2]), K, T_world_camera)
        for depth, color, K, T_world_camera in usable
    )
    try:
        return fuse_mesh(frames, **params.geometry.fusion.model_dump())
    except FusionError as error:
        _check_some_usable(raw.scene_id, log)
        raise StageError(f"{raw.scene_id}: {error}") from error


def _voxel_columns(voxels: Voxels) -> Row:
    return {
        "voxel_index": np.arange(len(voxels.coords), dtype=np.int32),
        "voxel_coords": voxels.coords,
        "xyz_world": voxels.xyz_world,
        "rgb": voxels.rgb,
        "n_vertices": voxels.n_vertices,
    }


def _matcher(voxels: Voxels, matching: Matching) -> tuple[VoxelMatcher, dict[str, object]]:
    """The matcher, and what it depends on beside the voxels: the tolerances of the mode in use.

    That of pixel pairs, which is used when they are drawn, is among them.
    """
    is_strict = matching.mode == "strict"
    used = {"radius_m"} if is_strict else {"pri3d_voxel_z_m", "pri3d_pixel_z_m"}
    tolerance_m = matching.radius_m if is_strict else matching.pri3d_voxel_z_m
    settings = {"matching_mode": matching.mode, **matching.model_dump(include=used)}
    return VoxelMatcher(voxels, matching.mode, tolerance_m), settings


def _match(row: Row, size: tuple[int, int], matcher: VoxelMatcher) -> Row:
    """Row group of the matches of a row of the frames table."""
    pixel, voxel_index, distance_mm = matcher.match(
        decode_depth(row["depth"][0], size),
        row["K"][0].reshape(3, 3),
        row["T_world_camera"][0].reshape(4, 4),
    )
    return {
        "frame_id": np.full(len(pixel), row["frame_id"][0], dtype=np.int32),
        "pixel": pixel,
        "voxel_index": voxel_index,
        "distance_mm": distance_mm,
    }


def _labelled_rows(params: Params, scene: str, log: FrameLog) -> Iterator[Row]:
    """Rows of the scene's labelled frames; none for a scene without any."""
    labelled = params.labelled
    reader, raw_dir = READERS[labelled.reader], expand(labelled.raw_dir)
    if not raw_dir.is_dir():
        raise StageError(f"labelled.raw_dir: {raw_dir} does not exist. expected:\n{reader.layout}")
    if not any(path.is_dir() for path in reader.scene_files(raw_dir, scene)):
        return
    size = params.dataset.image_size
    for frame in log.watch(open_raw_scene(labelled, scene).frames(color_size=size)):
        yield labelled_row(frame, size, labelled.label_map)
