"""The geometric consistency sets of a scene, as its frames see them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int32, Int64

from pipeline import layout
from pipeline.data.cache import ByteCache
from pipeline.data.tables import open_table, read_group
from pipeline.geometry.mesh import MeshError, read_ply
from pipeline.geometry.projection import majority_per_voxel
from pipeline.geometry.voxels import voxelize
from pipeline.readers.labels import LABELS, label_sets
from pipeline.schemas import SCHEMAS, ArtifactError, remedy, row_group_index, stored_metadata

#: Flat pixels of a frame, and the set (segment or class) of each.
SetPixels = tuple[Int32[np.ndarray, " _n"], Int32[np.ndarray, " _n"]]


def source_name(source: float | Literal["labels"]) -> str:
    """How a source of sets, a k or `labels`, stands in the sets table."""
    return source if isinstance(source, str) else f"{source:g}"


def half_resolution(
    pixel: Int32[np.ndarray, " n"], size: tuple[int, int]
) -> Int32[np.ndarray, " n"]:
    """Cells of the feature map that pixels fall on.

    Args:
        pixel: int32 (N,), flat index v * width + u.
        size: height, width of the image, pixels.

    Returns:
        int32 (N,), flat index of the cell floor(p / 2) in a map of half the size, rounded up.

    Source: spec A.8, B.2.
    """
    width = size[1]
    return pixel // width // 2 * np.int32((width + 1) // 2) + pixel % width // 2


@dataclass(frozen=True)
class FrameSets:
    """The sets that one frame sees, each as the cells of the feature map that show it.

    Attributes:
        set_id: int32 (S,), ascending.
        n_pixels: int32 (S,), pixels of each at the training size.
        first: int64 (S + 1,), where in `cell` each begins, and the end.
        cell: int32 (M,), flat cell at half the training size; those of a set ascend.
        count: int32 (M,), how many of the set's pixels fall on the cell.
    """

    set_id: Int32[np.ndarray, " s"]
    n_pixels: Int32[np.ndarray, " s"]
    first: Int64[np.ndarray, " s1"]
    cell: Int32[np.ndarray, " m"]
    count: Int32[np.ndarray, " m"]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in vars(self).values())

    @classmethod
    def of_pixels(
        cls,
        pixel: Int32[np.ndarray, " n"],
        set_id: Int32[np.ndarray, " n"],
        size: tuple[int, int],
    ) -> "FrameSets":
        """Collect the cells of each set.

        Args:
            pixel: int32 (N,), flat pixels; one may show several sets, but each once.
            set_id: int32 (N,), what each shows.
            size: height, width of the image, pixels.
        """
        key = (set_id.astype(np.int64) << 32) + half_resolution(pixel, size)
        key, count = np.unique(key, return_counts=True)
        of_cell = (key >> 32).astype(np.int32)
        ids, first = np.unique(of_cell, return_index=True)
        return cls(
            set_id=ids,
            n_pixels=np.add.reduceat(count, first).astype(np.int32) if len(ids) else ids,
            first=np.append(first, len(key)),
            cell=key.astype(np.int32),  # the lower half
            count=count.astype(np.int32),
        )


class SceneSets:
    """Reads which pixels of a frame show which set.

    Attributes:
        path: the sets table.
    """

    def __init__(self, artifacts_dir: Path, scene: str, cache: ByteCache) -> None:
        self.path = layout.artifact(artifacts_dir, scene, "sets")
        self._segments_path = layout.artifact(artifacts_dir, scene, "segments")
        self._voxels_path = layout.artifact(artifacts_dir, scene, "voxels")
        self._mesh_path = layout.mesh(artifacts_dir, scene)
        self._cache = cache

    @cached_property
    def sources(self) -> list[str]:
        """What the scene has sets of: every k as text, and perhaps `labels`."""
        names = open_table(self.path, "sets").read(["set_source"], use_threads=False)
        return pc.unique(names["set_source"]).to_pylist()

    @cached_property
    def _groups(self) -> dict[int, int]:
        return row_group_index(open_table(self.path, "sets"))

    def pixels(
        self,
        frame_id: int,
        source: str,
        pixel: Int32[np.ndarray, " n"],
        voxel_index: Int32[np.ndarray, " n"],
    ) -> SetPixels:
        """Pixels of one frame that show a set, and its id.

        Args:
            frame_id: The frame.
            source: One of `sources`.
            pixel: int32 (N,), ascending; with `voxel_index` the frame's correspondences, by which
                sets of voxels are seen. Ray-cast sets have pixels of their own.
            voxel_index: int32 (N,).

        Returns:
            Flat pixels and set ids, int32 (K,); each pixel once per set, as the sets table counts
            them (`pri3d` matches show several sets in a pixel).

        Raises:
            ArtifactError: the scene has no sets of this source, or they are damaged or of other
                correspondences.

        Source: paper 001 section 3.2, P_j^m.
        """
        if source not in self.sources and self._groups:
            raise self._lacks(source)
        rows = self._rows(frame_id, source)
        if not rows.num_rows:
            return np.empty(0, np.int32), np.empty(0, np.int32)
        if rows["pixels"].null_count < rows.num_rows:
            return self._stored_pixels(rows, frame_id)
        return self._joined_pixels(rows, frame_id, source, pixel, voxel_index)

    def _rows(self, frame_id: int, source: str) -> pa.Table:
        group = self._groups.get(frame_id)
        if group is None:
            return SCHEMAS["sets"].empty_table()
        columns = ["set_source", "set_id", "n_pixels", "pixels"]
        rows = read_group(self.path, "sets", group, columns)
        return rows.filter(pc.equal(rows["set_source"], source))

    def _stored_pixels(self, rows: pa.Table, frame_id: int) -> SetPixels:
        pixels = rows["pixels"].combine_chunks()
        set_id, n_pixels = (rows[name].to_numpy() for name in ("set_id", "n_pixels"))
        if not np.array_equal(pixels.value_lengths().fill_null(-1).to_numpy(), n_pixels):
            raise self._unequal(frame_id, "stored pixels")
        return pixels.flatten().to_numpy(), set_id[pixels.value_parent_indices().to_numpy()]

    def _joined_pixels(
        self,
        rows: pa.Table,
        frame_id: int,
        source: str,
        pixel: Int32[np.ndarray, " n"],
        voxel_index: Int32[np.ndarray, " n"],
    ) -> SetPixels:
        set_id, n_pixels = (rows[name].to_numpy() for name in ("set_id", "n_pixels"))
        voxel_set = self.voxel_sets(source)
        if voxel_index.max(initial=-1) >= len(voxel_set):
            raise self._unequal(frame_id, "correspondences")
        shown = voxel_set[voxel_index]
        # Sets of fewer than geometry.sets.min_pixels are not in the table.
        size = max(int(set_id.max(initial=-1)), int(voxel_set.max(initial=-1))) + 2
        is_listed = np.zeros(size, bool)  # the last row is that of -1, none
        is_listed[set_id] = True
        is_seen = is_listed[shown]
        pixel, shown = pixel[is_seen], shown[is_seen]
        if (np.diff(pixel) <= 0).any():
            key = np.unique((pixel.astype(np.int64) << 32) + shown)
            pixel, shown = (key >> 32).astype(np.int32), key.astype(np.int32)
        if not np.array_equal(np.bincount(shown, minlength=size)[set_id], n_pixels):
            raise self._unequal(frame_id, "correspondences and segments")
        return pixel, shown

    def voxel_sets(self, source: str) -> Int32[np.ndarray, " m"]:
        """Set of each voxel, int32 (M,), -1 none; see `pixels` for the argument and errors."""
        return self._cache.get((self._segments_path, source), lambda: self._read_voxel_sets(source))

    def _read_voxel_sets(self, source: str) -> Int32[np.ndarray, " m"]:
        if source == LABELS:
            return self._label_sets()
        segments = open_table(self._segments_path, "segments")
        for group in range(segments.num_row_groups):
            k = segments.metadata.row_group(group).column(0).statistics
            if k is not None and k.has_min_max and k.min != np.float32(source):
                continue
            columns = ["k", "element", "segment_id"]
            table = read_group(self._segments_path, "segments", group, columns)
            if (
                table.num_rows
                and table["element"][0].as_py() == "voxel"
                and source_name(table["k"][0].as_py()) == source
            ):
                return table["segment_id"].to_numpy()
        raise ArtifactError(
            f"{self._segments_path}: no segments of voxels for k = {source}, but "
            f"{self.path.name} has sets of it; {remedy(self._segments_path)}"
        )

    def _label_sets(self) -> Int32[np.ndarray, " m"]:
        """Set of each voxel by the labels of the mesh; only the segments are stored."""
        try:
            mesh = read_ply(self._mesh_path)
        except MeshError as error:
            raise ArtifactError(f"{error}; make it again with extract-frames") from error
        stored = open_table(self._voxels_path, "voxels")
        size_m = float(stored_metadata(stored)["voxel_size_m"])
        coords = read_group(self._voxels_path, "voxels", 0, ["voxel_coords"])["voxel_coords"]
        voxels = voxelize(mesh.vertices, mesh.rgb, size_m)
        if mesh.label is None or not np.array_equal(
            coords.combine_chunks().flatten().to_numpy(), voxels.coords.reshape(-1)
        ):
            raise ArtifactError(
                f"{self._mesh_path}: the sets are of another mesh; make it again with "
                "extract-frames"
            )
        return majority_per_voxel(label_sets(mesh.label), voxels.vertex_voxel, len(voxels.coords))

    def _lacks(self, source: str) -> ArtifactError:
        known = ", ".join(self.sources) or "none"
        cure = (
            "its mesh has no labels: use sets of a k, or leave the scene out (dataset.scenes)"
            if source == LABELS
            else f"add {source} to geometry.oversegmentation.k, then `snakemake --cores 2 "
            "all_artifacts` makes them"
        )
        return ArtifactError(f"{self.path}: no sets of source {source}; it has {known}; {cure}")

    def _unequal(self, frame_id: int, beside: str) -> ArtifactError:
        return ArtifactError(
            f"{self.path}, frame {frame_id}: n_pixels are not those of the {beside} beside it; "
            f"{remedy(self.path)}"
        )
