"""Reads a scene's artifacts frame by frame, on demand."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import pyarrow.compute as pc
from jaxtyping import Float32, Float64, Int32, UInt8

from pipeline import layout
from pipeline.data.cache import ByteCache
from pipeline.data.chunks import frame_box
from pipeline.data.scene_sets import FrameSets, SceneSets, SetPixels
from pipeline.data.tables import open_table, read_group
from pipeline.geometry.voxels import voxel_centres
from pipeline.readers.imaging import ImageError, decode_depth
from pipeline.schemas import (
    ArtifactError,
    open_artifact,
    remedy,
    row_group_index,
    stored_metadata,
)


@dataclass(frozen=True)
class StoredFrame:
    """One usable frame at the training size, decoded.

    Attributes:
        frame_id: index in the raw sequence.
        T_world_camera: float64 (4, 4), camera-to-world, metres.
        K: float64 (3, 3), pixels, intrinsics at the training size.
        color: uint8 (H, W, 3), RGB.
        depth: float32 (H, W), metres along z, 0 invalid.
        label: uint8 (H, W), classes, 255 ignored; None where there are none.
    """

    frame_id: int
    T_world_camera: Float64[np.ndarray, "4 4"]
    K: Float64[np.ndarray, "3 3"]
    color: UInt8[np.ndarray, "h w 3"]
    depth: Float32[np.ndarray, "h w"]
    label: UInt8[np.ndarray, "h w"] | None

    @property
    def nbytes(self) -> int:
        """Bytes of the decoded images."""
        return (
            self.color.nbytes + self.depth.nbytes + (0 if self.label is None else self.label.nbytes)
        )


@dataclass(frozen=True)
class VoxelGrid:
    """The voxels of a scene.

    Attributes:
        coords: int32 (M, 3), grid cells.
        xyz_world: float32 (M, 3), metres, centres.
        rgb: uint8 (M, 3), mean colour.
    """

    coords: Int32[np.ndarray, "m 3"]
    xyz_world: Float32[np.ndarray, "m 3"]
    rgb: UInt8[np.ndarray, "m 3"]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.coords.nbytes + self.xyz_world.nbytes + self.rgb.nbytes


@dataclass(frozen=True)
class PixelVoxels:
    """Matches of one frame's pixels with the scene's voxels.

    Attributes:
        pixel: int32 (N,), flat index v * width + u at the training size.
        voxel_index: int32 (N,), row of the voxels table.
    """

    pixel: Int32[np.ndarray, " n"]
    voxel_index: Int32[np.ndarray, " n"]

    @property
    def nbytes(self) -> int:
        """Bytes of both arrays."""
        return self.pixel.nbytes + self.voxel_index.nbytes


def _decode_image(data: bytes, flags: int, path: Path, frame_id: int) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise _bad_frame(path, frame_id, "an image cannot be decoded")
    return image


def _bad_frame(path: Path, frame_id: int, problem: str) -> ArtifactError:
    return ArtifactError(f"{path}, frame {frame_id}: {problem}; {remedy(path)}")


#: What a usable frame is decoded from.
_FRAME_COLUMNS = ["T_world_camera", "K", "width", "height", "color", "depth"]


class FrameTable:
    """The usable frames of one `frames` or `labelled_frames` table."""

    def __init__(self, path: Path, kind: str, cache: ByteCache) -> None:
        self.path = path
        self.kind = kind
        self._cache = cache

    @cached_property
    def _row_groups(self) -> dict[int, int]:
        parquet = open_table(self.path, self.kind)
        usable = parquet.read(columns=["frame_id", "status"], use_threads=False)
        ids = usable.filter(pc.equal(usable["status"], "ok"))["frame_id"].to_pylist()
        groups = row_group_index(parquet)
        return {frame_id: groups[frame_id] for frame_id in ids}

    @property
    def frame_ids(self) -> list[int]:
        """Ids of the frames with status `ok`, in the table's order."""
        return list(self._row_groups)

    def load(self, frame_id: int) -> StoredFrame:
        """Decode one frame (from memory if it was used lately).

        Raises:
            ArtifactError: the table or an image in it cannot be read.
        """
        return self._cache.get((self.path, frame_id), lambda: self._decode(frame_id))

    def has_labels(self, frame_id: int) -> bool:
        """Whether the frame carries a label image."""
        if self.kind != "labelled_frames":
            return False
        column = read_group(self.path, self.kind, self._row_groups[frame_id], ["label"])["label"]
        return bool(column[0].is_valid)

    def _decode(self, frame_id: int) -> StoredFrame:
        columns = _FRAME_COLUMNS + ["label"] * (self.kind == "labelled_frames")
        (row,) = read_group(self.path, self.kind, self._row_groups[frame_id], columns).to_pylist()
        size = (row["height"], row["width"])
        color = _decode_image(row["color"], cv2.IMREAD_COLOR_RGB, self.path, frame_id)
        label = row.get("label")
        try:
            depth = decode_depth(row["depth"], size)
        except ImageError as error:
            raise _bad_frame(self.path, frame_id, str(error)) from error
        if color.shape[:2] != size:
            raise _bad_frame(self.path, frame_id, f"colour is not {size[1]}x{size[0]}")
        if label is not None:
            label = _decode_image(label, cv2.IMREAD_GRAYSCALE, self.path, frame_id)
        return StoredFrame(
            frame_id=frame_id,
            T_world_camera=np.array(row["T_world_camera"], np.float64).reshape(4, 4),
            K=np.array(row["K"], np.float64).reshape(3, 3),
            color=color,
            depth=depth,
            label=label,
        )


class SceneStore:
    """Everything pretraining reads of one scene."""

    def __init__(self, artifacts_dir: Path, scene: str, cache: ByteCache) -> None:
        self.scene = scene
        self.frames = FrameTable(layout.artifact(artifacts_dir, scene, "frames"), "frames", cache)
        self._overlaps_path = layout.artifact(artifacts_dir, scene, "overlaps")
        self._voxels_path = layout.artifact(artifacts_dir, scene, "voxels")
        self._correspondences_path = layout.artifact(artifacts_dir, scene, "correspondences")
        self._sets = SceneSets(artifacts_dir, scene, cache)
        self._cache = cache

    def pairs(self, min_overlap: float) -> Int32[np.ndarray, "p 2"]:
        """Pairs of usable frames that overlap enough.

        Args:
            min_overlap: Smallest `overlap`, share in [0, 1].

        Returns:
            int32 (P, 2), frame ids a and b.

        Raises:
            ArtifactError: the overlaps or frames table cannot be read.

        Source: paper 001 section 4.2 (0.30), spec A.4.
        """
        # Not all columns: stored pixel pairs would fill the memory.
        columns = ["frame_a", "frame_b", "overlap"]
        table = open_artifact(self._overlaps_path, "overlaps").read(columns)
        pairs = np.stack([table[name].to_numpy() for name in ("frame_a", "frame_b")], axis=1)
        usable = np.isin(pairs, self.frames.frame_ids).all(axis=1)
        return pairs[usable & (table["overlap"].to_numpy() >= np.float32(min_overlap))]

    def frame_box(self, frame_id: int) -> Float64[np.ndarray, "2 3"]:
        """Box around what a frame sees, see `chunks.frame_box`."""
        frame = self.frames.load(frame_id)
        return self._cache.get(
            (self.frames.path, frame_id, "box"),
            lambda: frame_box(frame.depth, frame.K, frame.T_world_camera),
        )

    def voxels(self) -> VoxelGrid:
        """All voxels of the scene."""
        return self._cache.get(self._voxels_path, self._read_voxels)

    def _read_voxels(self) -> VoxelGrid:
        # Cheaper than reading the places.
        grid = stored_metadata(open_table(self._voxels_path, "voxels"))
        columns = ["voxel_coords", "rgb"]
        table = read_group(self._voxels_path, "voxels", 0, columns)

        def rows(name: str) -> np.ndarray:
            return table[name].combine_chunks().flatten().to_numpy().reshape(-1, 3)

        coords = rows("voxel_coords")
        try:
            origin, size_m = json.loads(grid["grid_origin"]), float(grid["voxel_size_m"])
        except (KeyError, ValueError) as error:
            path = self._voxels_path
            raise ArtifactError(f"{path}: damaged metadata: {error!r}; {remedy(path)}") from error
        centres = voxel_centres(coords, size_m, np.array(origin))
        return VoxelGrid(coords, centres, rows("rgb"))

    @cached_property
    def _correspondence_groups(self) -> dict[int, int]:
        return row_group_index(open_table(self._correspondences_path, "correspondences"))

    def has_pixel_voxels(self, frame_id: int) -> bool:
        """Whether a frame has any pixel-voxel match."""
        return frame_id in self._correspondence_groups

    def pixel_voxels(self, frame_id: int) -> PixelVoxels:
        """Pixel-voxel matches of one frame; empty if it has none."""
        return self._cache.get(
            (self._correspondences_path, frame_id), lambda: self._read_pixel_voxels(frame_id)
        )

    def _read_pixel_voxels(self, frame_id: int) -> PixelVoxels:
        group = self._correspondence_groups.get(frame_id)
        if group is None:
            return PixelVoxels(np.empty(0, np.int32), np.empty(0, np.int32))
        columns = ["pixel", "voxel_index"]
        table = read_group(self._correspondences_path, "correspondences", group, columns)
        return PixelVoxels(table["pixel"].to_numpy(), table["voxel_index"].to_numpy())

    @property
    def set_sources(self) -> list[str]:
        """What the scene has sets of: every k as text, and perhaps `labels`."""
        return self._sets.sources

    def sets(self, frame_id: int, source: str) -> FrameSets:
        """The sets that a frame sees, on the half-resolution cells of its feature map.

        Args:
            frame_id: A usable frame.
            source: `scene_sets.source_name` of an oversegmentation's k or of labels.

        Raises:
            ArtifactError: the scene has no sets of this source, or an artifact is unreadable.
        """
        return self._cache.get(
            (self._sets.path, frame_id, source), lambda: self._frame_sets(frame_id, source)
        )

    def _frame_sets(self, frame_id: int, source: str) -> FrameSets:
        size = self.frames.load(frame_id).depth.shape
        return FrameSets.of_pixels(*self.set_pixels(frame_id, source), (size[0], size[1]))

    def set_pixels(self, frame_id: int, source: str) -> SetPixels:
        """Flat pixels that show a set, and its id; see `sets` for the arguments and errors."""
        matches = self.pixel_voxels(frame_id)
        return self._sets.pixels(frame_id, source, matches.pixel, matches.voxel_index)
