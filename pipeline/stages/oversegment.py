"""`oversegment`: mesh -> segments for several k, and the sets that each frame sees of them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from pipeline import layout
from pipeline.config import Params
from pipeline.geometry.mesh import Mesh, MeshError, read_ply
from pipeline.geometry.oversegmentation import oversegment_all
from pipeline.geometry.projection import majority_per_voxel, project_sets
from pipeline.geometry.voxels import Voxels, voxelize
from pipeline.readers.labels import IGNORE
from pipeline.schemas import open_artifact, read_table, write_table
from pipeline.stages.common import StageError
from pipeline.stages.scene_jobs import add_arguments as add_arguments
from pipeline.stages.scene_jobs import provenance, runner

#: set_source of the sets that come from the labels of the mesh.
LABELS = "labels"


def oversegment_scene(params: Params, scene: str, out_dir: Path) -> str:
    """Make the segments and sets of a scene from its mesh, voxels and correspondences.

    Args:
        params: Uses geometry.oversegmentation and geometry.sets.
        scene: Scene name.
        out_dir: Artifacts folder of all scenes.

    Returns:
        One line that sums up what was made.

    Raises:
        StageError: the mesh cannot be read, or is not that of the voxels.
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
    upstream |= settings.model_dump()
    write_table(
        layout.artifact(out_dir, scene, "segments"),
        "segments",
        _segment_rows({"vertex": per_vertex, "voxel": per_voxel}),
        provenance(scene, upstream["reader"], upstream),
    )

    sources = {f"{k:g}": voxel_set for k, voxel_set in per_voxel.items()}
    if mesh.label is not None:
        label = mesh.label.astype(np.int32)
        sources[LABELS] = to_voxels(np.where(label == IGNORE, -1, label).astype(np.int32))
    upstream |= params.geometry.sets.model_dump()
    write_table(
        layout.artifact(out_dir, scene, "sets"),
        "sets",
        _set_rows(out_dir, scene, sources, params.geometry.sets.min_pixels),
        provenance(scene, upstream["reader"], upstream),
    )
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
    stored = read_table(layout.artifact(out_dir, scene, "voxels"), "voxels")
    metadata = {key.decode(): value.decode() for key, value in stored.schema.metadata.items()}
    voxels = voxelize(mesh.vertices, mesh.rgb, float(metadata["voxel_size_m"]))
    coords = stored["voxel_coords"].combine_chunks().flatten().to_numpy()
    if not np.array_equal(coords, voxels.coords.reshape(-1)):
        raise StageError(f"{path}: the voxels table is of another mesh; {remedy}")
    return mesh, voxels, {"reader": metadata["reader"], "voxels_hash": metadata["params_hash"]}


def _segment_rows(segments: dict[str, dict[float, np.ndarray]]) -> Iterator[dict[str, object]]:
    """One row group per k and element."""
    for element, per_k in segments.items():
        for k, segment_id in per_k.items():
            yield {
                "k": np.full(len(segment_id), k, dtype=np.float32),
                "element": np.full(len(segment_id), element),
                "vertex_index": np.arange(len(segment_id), dtype=np.int32),
                "segment_id": segment_id,
            }


def _set_rows(
    out_dir: Path, scene: str, sources: dict[str, np.ndarray], min_pixels: int
) -> Iterator[dict[str, object]]:
    """One row group per frame that sees a set."""
    parquet = open_artifact(layout.artifact(out_dir, scene, "correspondences"), "correspondences")
    for group in range(parquet.num_row_groups):
        matches = parquet.read_row_group(group, columns=["frame_id", "pixel", "voxel_index"])
        pixel, voxel_index = (matches[name].to_numpy() for name in ("pixel", "voxel_index"))
        sets = [project_sets(pixel, voxel_index, ids, min_pixels) for ids in sources.values()]
        sizes = [len(set_id) for set_id, _ in sets]
        if sum(sizes):
            yield {
                "frame_id": np.full(sum(sizes), matches["frame_id"][0].as_py(), dtype=np.int32),
                "set_source": np.repeat(list(sources), sizes),
                "set_id": np.concatenate([set_id for set_id, _ in sets]),
                "n_pixels": np.concatenate([n_pixels for _, n_pixels in sets]),
            }
