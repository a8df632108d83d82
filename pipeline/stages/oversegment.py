"""`oversegment`: mesh -> segments for several k, and the sets that each frame sees of them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int32

from pipeline import layout
from pipeline.config import Params
from pipeline.digest import hash_files
from pipeline.geometry.mesh import Mesh, MeshError, read_ply
from pipeline.geometry.oversegmentation import oversegment_all
from pipeline.geometry.projection import majority_per_voxel, pixels_of_sets, project_sets
from pipeline.geometry.ray_casting import RayCaster
from pipeline.geometry.voxels import Voxels, voxelize
from pipeline.readers.labels import LABELS, label_sets
from pipeline.schemas import open_artifact, stored_metadata, write_table
from pipeline.stages.common import StageError
from pipeline.stages.frame_rows import Row
from pipeline.stages.scene_jobs import add_arguments as add_arguments
from pipeline.stages.scene_jobs import provenance, runner


def oversegment_scene(params: Params, scene: str, out_dir: Path) -> str:
    """Make the segments and sets of a scene from its mesh, voxels and correspondences or frames.

    Args:
        params: Uses geometry.oversegmentation and geometry.sets.
        scene: Scene name.
        out_dir: Artifacts folder of all scenes.

    Returns:
        One line that sums up what was made.

    Raises:
        StageError: the mesh cannot be read, or is not that of the voxels, or the voxels are not
            those of the correspondences.
        ArtifactError: the voxels or correspondences are missing or damaged.

    Source: paper 001 section 3.2 and Table 9.
    """
    settings = params.geometry.oversegmentation
    mesh, voxels, upstream = _read_surface(scene, out_dir)
    per_vertex = dict(
        zip(
            settings.k,
            oversegment_all(mesh.vertices, mesh.faces, settings.k, settings.min_vertices),
            strict=True,
        )
    )

    def to_voxels(vertex_set: Int32[np.ndarray, " v"]) -> Int32[np.ndarray, " m"]:
        return majority_per_voxel(vertex_set, voxels.vertex_voxel, len(voxels.coords))

    per_voxel = {k: to_voxels(segment_id) for k, segment_id in per_vertex.items()}
    files = {kind: layout.artifact(out_dir, scene, kind) for kind in layout.ARTIFACT_KINDS}

    def write(kind: str, rows: Iterator[Row], inputs: list[Path], used: dict[str, Any]) -> None:
        def origin() -> dict[str, str]:
            sha256 = hash_files(*inputs)
            return provenance(scene, upstream["reader"], sha256, {**upstream, **used})

        write_table(files[kind], kind, rows, origin)

    surface = [layout.mesh(out_dir, scene), files["voxels"]]
    rows = _segment_rows({"vertex": per_vertex, "voxel": per_voxel})
    write("segments", rows, surface, settings.model_dump())

    sets = params.geometry.sets
    used = {**settings.model_dump(), **sets.model_dump()}
    is_ray_cast = sets.projection == "ray_casting"
    sources = {f"{k:g}": ids for k, ids in (per_vertex if is_ray_cast else per_voxel).items()}
    if mesh.label is not None:
        label = label_sets(mesh.label)
        sources[LABELS] = label if is_ray_cast else to_voxels(label)
    if is_ray_cast:
        rows = _ray_cast_set_rows(files["frames"], mesh, sources, sets.min_pixels)
        write("sets", rows, [*surface, files["frames"]], used)
    else:
        _check_origin(files["correspondences"], files["frames"], files["voxels"])
        rows = _set_rows(files["correspondences"], sources, sets.min_pixels)
        write("sets", rows, [*surface, files["correspondences"]], used)
    shown = ", ".join(f"{ids.max(initial=-1) + 1} (k {k:g})" for k, ids in per_vertex.items())
    return f"{scene}: {len(mesh.vertices)} vertices -> segments: {shown}"


run = runner(oversegment_scene)


def _read_surface(scene: str, out_dir: Path) -> tuple[Mesh, Voxels, dict[str, str]]:
    """Mesh, voxels with the voxel of each vertex, and where both come from."""
    path, remedy = layout.mesh(out_dir, scene), "make it again with extract-frames"
    try:
        mesh = read_ply(path)
    except MeshError as error:
        raise StageError(f"{error}; {remedy}") from error
    stored = open_artifact(layout.artifact(out_dir, scene, "voxels"), "voxels")
    metadata = stored_metadata(stored)
    voxels = voxelize(mesh.vertices, mesh.rgb, float(metadata["voxel_size_m"]))
    coords = stored.read(["voxel_coords"])["voxel_coords"].combine_chunks().flatten().to_numpy()
    if not np.array_equal(coords, voxels.coords.reshape(-1)):
        raise StageError(f"{path}: the voxels table is of another mesh; {remedy}")
    return mesh, voxels, {"reader": metadata["reader"], "voxels_hash": metadata["params_hash"]}


def _segment_rows(segments: dict[str, dict[float, np.ndarray]]) -> Iterator[Row]:
    """One row group per k and element."""
    for element, per_k in segments.items():
        for k, segment_id in per_k.items():
            yield {
                "k": np.full(len(segment_id), k, dtype=np.float32),
                "element": pa.repeat(element, len(segment_id)),
                "vertex_index": np.arange(len(segment_id), dtype=np.int32),
                "segment_id": segment_id,
            }


def _check_origin(correspondences: Path, frames: Path, voxels: Path) -> None:
    """StageError for correspondences that a later, failed run has left beside other voxels."""
    origin = stored_metadata(open_artifact(correspondences, "correspondences"))
    if origin.get("inputs_sha256") != hash_files(frames, voxels):
        raise StageError(
            f"{correspondences}: made from other frames or voxels than those beside it; "
            "make it again with extract-frames"
        )


def _set_rows(
    correspondences: Path, sources: dict[str, np.ndarray], min_pixels: int
) -> Iterator[Row]:
    """Sets of voxels that each frame sees by its matches; one row group per frame."""
    parquet = open_artifact(correspondences, "correspondences")
    for group in range(parquet.num_row_groups):
        matches = parquet.read_row_group(group, columns=["frame_id", "pixel", "voxel_index"])
        pixel, voxel_index = (matches[name].to_numpy() for name in ("pixel", "voxel_index"))
        seen = [project_sets(pixel, voxel_index, ids, min_pixels) for ids in sources.values()]
        yield from _frame_sets(matches["frame_id"][0].as_py(), sources, seen)


def _ray_cast_set_rows(
    frames: Path, mesh: Mesh, sources: dict[str, np.ndarray], min_pixels: int
) -> Iterator[Row]:
    """Sets of vertices that each usable frame sees by its rays; one row group per frame."""
    caster = RayCaster(mesh.vertices, mesh.faces)
    parquet = open_artifact(frames, "frames")
    columns = ["frame_id", "status", "T_world_camera", "K", "width", "height"]
    for row in parquet.read(columns).to_pylist():
        if row["status"] != "ok":
            continue
        pixel, vertex = caster.visible_vertices(
            np.array(row["K"]).reshape(3, 3),
            np.array(row["T_world_camera"]).reshape(4, 4),
            (row["height"], row["width"]),
        )
        seen = [project_sets(pixel, vertex, ids, min_pixels) for ids in sources.values()]
        pixels = [
            found
            for ids, (set_id, _) in zip(sources.values(), seen, strict=True)
            for found in pixels_of_sets(pixel, vertex, ids, set_id)
        ]
        yield from _frame_sets(row["frame_id"], sources, seen, pixels)


def _frame_sets(
    frame_id: int,
    sources: Iterable[str],
    seen: list[tuple[np.ndarray, np.ndarray]],
    pixels: list[np.ndarray] | None = None,
) -> Iterator[Row]:
    """The row group of a frame, if it sees a set at all."""
    sizes = [len(set_id) for set_id, _ in seen]
    if n_rows := sum(sizes):
        row: Row = {
            "frame_id": np.full(n_rows, frame_id, dtype=np.int32),
            "set_source": np.repeat(list(sources), sizes),
            "set_id": np.concatenate([set_id for set_id, _ in seen]),
            "n_pixels": np.concatenate([n_pixels for _, n_pixels in seen]),
        }
        yield row if pixels is None else {**row, "pixels": pixels}
