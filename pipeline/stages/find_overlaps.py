"""`find-overlaps`: depth at raw resolution -> surface overlaps of all frame pairs."""

from pathlib import Path

import numpy as np

from pipeline import layout
from pipeline.config import Params
from pipeline.geometry.overlap import compute_overlaps, depth_to_cloud, downsample_cloud
from pipeline.schemas import write_table
from pipeline.stages.frame_rows import arrays
from pipeline.stages.scene_jobs import add_arguments as add_arguments
from pipeline.stages.scene_jobs import open_raw_scene, provenance, runner


def find_scene_overlaps(params: Params, scene: str, out_dir: Path) -> str:
    """Make the overlaps of all pairs of usable frames; only down-sampled clouds stay in memory.

    Args:
        params: Uses dataset and geometry.overlaps.
        scene: Scene name.
        out_dir: Artifacts folder of all scenes.

    Returns:
        One line that sums up what was made.

    Raises:
        ReaderError: the raw scene is missing or damaged.

    Source: pri3d_family.md A.4.
    """
    settings = params.geometry.overlaps
    frame_ids, clouds = [], []
    for frame in open_raw_scene(params.dataset, scene).frames():
        if frame.status == "ok":
            depth, _, K, T_world_camera = arrays(frame)
            points = depth_to_cloud(depth, K, T_world_camera)
            frame_ids.append(frame.frame_id)
            clouds.append(downsample_cloud(points, settings.cell_m))

    directed = compute_overlaps(clouds, settings.radius_m)
    order = np.argsort(frame_ids)
    a, b = (order[index] for index in np.triu_indices(len(order), k=1))
    ids = np.array(frame_ids, dtype=np.int32)
    overlap = np.maximum(directed[a, b], directed[b, a])
    columns = {
        "frame_a": ids[a],
        "frame_b": ids[b],
        "overlap_ab": directed[a, b],
        "overlap_ba": directed[b, a],
        "overlap": overlap,
    }
    reader, stride = params.dataset.reader, params.dataset.frame_stride
    write_table(
        layout.artifact(out_dir, scene, "overlaps"),
        "overlaps",
        [columns],
        provenance(scene, reader, {"frame_stride": stride, **settings.model_dump()}),
    )
    threshold = params.pretraining.min_overlap
    return (
        f"{scene}: {len(ids)} usable frames, {len(overlap)} pairs, "
        f"{np.count_nonzero(overlap >= np.float32(threshold))} overlap by {threshold:g} or more"
    )


run = runner(find_scene_overlaps)
