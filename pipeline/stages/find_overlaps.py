"""`find-overlaps`: depth at raw resolution -> surface overlaps of all frame pairs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline import layout
from pipeline.config import Matching, Params
from pipeline.geometry.camera import resize_depth, resize_intrinsics
from pipeline.geometry.correspondence import match_pixels
from pipeline.geometry.overlap import compute_overlaps, depth_to_cloud, downsample_cloud
from pipeline.readers.imaging import decode_depth, encode_depth
from pipeline.schemas import write_table
from pipeline.stages.frame_rows import FrameLog, Row, arrays
from pipeline.stages.scene_jobs import add_arguments as add_arguments
from pipeline.stages.scene_jobs import open_raw_scene, provenance, runner


def find_scene_overlaps(params: Params, scene: str, out_dir: Path) -> str:
    """Make the overlaps of all pairs of usable frames; only down-sampled clouds stay in memory.

    Args:
        params: Uses dataset and geometry.overlaps, with pixel pairs also geometry.matching.
        scene: Scene name.
        out_dir: Artifacts folder of all scenes.

    Returns:
        One line that sums up what was made.

    Raises:
        ReaderError: the raw scene is missing or damaged.

    Source: pri3d_family.md A.4.
    """
    dataset, settings = params.dataset, params.geometry.overlaps
    log, frame_ids, clouds, views = FrameLog(), [], [], []
    for frame in log.watch(open_raw_scene(dataset, scene).frames(color_size=None)):
        if frame.status == "ok":
            depth, K, T_world_camera = arrays(frame, "depth", "K", "T_world_camera")
            frame_ids.append(frame.frame_id)
            points = depth_to_cloud(depth, K, T_world_camera)
            clouds.append(downsample_cloud(points, settings.cell_m))
            if settings.pixel_pairs_from is not None:
                views.append(_TrainingView.of(depth, K, T_world_camera, dataset.image_size))

    directed = compute_overlaps(clouds, settings.radius_m)
    ids = np.array(frame_ids, dtype=np.int32)
    a, b = np.triu_indices(len(ids), k=1)
    overlap = np.maximum(directed[a, b], directed[b, a])
    columns = {
        "frame_a": ids[a],
        "frame_b": ids[b],
        "overlap_ab": directed[a, b],
        "overlap_ba": directed[b, a],
        "overlap": overlap,
    }
    used = {"frame_stride": dataset.frame_stride, **settings.model_dump()}
    row_groups = iter([columns])
    if settings.pixel_pairs_from is not None:
        matching = params.geometry.matching
        used |= {"image_size": dataset.image_size, "matching": matching.model_dump()}
        row_groups = _with_pixel_pairs(columns, views, settings.pixel_pairs_from, matching)
    write_table(
        layout.artifact(out_dir, scene, "overlaps"),
        "overlaps",
        row_groups,
        lambda: provenance(scene, dataset.reader, log.inputs_sha256, used),
    )
    threshold = params.pretraining.min_overlap
    return (
        f"{scene}: {len(ids)} usable frames, {len(overlap)} pairs, "
        f"{np.count_nonzero(overlap >= np.float32(threshold))} overlap by {threshold:g} or more"
    )


# It reads raw frames and writes one file, so it may run beside extract_frames.
run = runner(find_scene_overlaps, stem="overlaps")


@dataclass(frozen=True)
class _TrainingView:
    """A frame as the frames table stores it, packed."""

    depth: bytes
    size: tuple[int, int]
    K: np.ndarray
    T_world_camera: np.ndarray

    @classmethod
    def of(
        cls, depth: np.ndarray, K: np.ndarray, T_world_camera: np.ndarray, size: tuple[int, int]
    ) -> "_TrainingView":
        resized = encode_depth(resize_depth(depth, size))
        return cls(resized, size, resize_intrinsics(K, depth.shape, size), T_world_camera)

    def unpack(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return decode_depth(self.depth, self.size), self.K, self.T_world_camera


def _with_pixel_pairs(
    columns: Row, views: list[_TrainingView], min_overlap: float, matching: Matching
) -> Iterator[Row]:
    """The overlaps, with matched pixels where they are enough; one row group per frame_a."""
    end = 0
    for a, view_a in enumerate(views[:-1]):
        start, end = end, end + len(views) - a - 1
        group: Row = {name: values[start:end] for name, values in columns.items()}
        kept = group["overlap"] >= np.float32(min_overlap)
        unpacked_a = view_a.unpack()
        pixels: list[tuple[np.ndarray | None, np.ndarray | None]] = [
            match_pixels(*unpacked_a, *view_b.unpack(), matching.mode, matching.pixel_tolerance_m)
            if is_kept
            else (None, None)
            for view_b, is_kept in zip(views[a + 1 :], kept, strict=True)
        ]
        group["pixel_a"], group["pixel_b"] = zip(*pixels, strict=True)
        yield group
