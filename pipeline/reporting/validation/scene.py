"""A scene's artifacts as the checks read them: opened once, row group by row group."""

import json
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int32
from scipy.spatial import cKDTree

from pipeline import layout
from pipeline.data.cache import ByteCache
from pipeline.geometry.mesh import Mesh, MeshError, read_ply
from pipeline.readers.base import ReaderError
from pipeline.readers.checks import FrameProblem, check_intrinsics, check_pose
from pipeline.readers.imaging import decode_depth
from pipeline.reporting.validation.findings import Findings, Unusable, Violation
from pipeline.reporting.validation.values import StoredVoxels, View, numbers, positive
from pipeline.schemas import (
    ArtifactError,
    open_artifact,
    row_group_index,
    stored_metadata,
)

#: Decoded depth that the checks keep: pixel pairs come back to a frame in many pairs.
_VIEW_BYTES = 30_000_000
_Value = TypeVar("_Value")


class StoredScene:
    """A scene's artifacts; each is read when a check asks for it.

    Args:
        folder: The scene's artifact folder.

    Raises:
        Unusable: (from every method) the file behind it is missing or broken.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()  # its name may be a link's
        self._opened: dict[str, pq.ParquetFile] = {}
        self._views = ByteCache(_VIEW_BYTES)

    @property
    def name(self) -> str:
        """Name of the scene, which is that of its folder."""
        return self.folder.name

    def path(self, kind: str) -> Path:
        """File of a kind; `mesh` is one, too."""
        if kind == "mesh":
            return layout.mesh(self.folder.parent, self.name)
        return layout.artifact(self.folder.parent, self.name, kind)

    def unusable(self, kind: str, what: str, where: str = "") -> Unusable:
        """The exception for something that is wrong in the file of a kind."""
        file = self.path(kind)
        return Unusable(Violation(file.name, where, what.removeprefix(f"{file}: ")))

    def table(self, kind: str) -> pq.ParquetFile:
        """The table of a kind, its schema checked."""
        if kind not in self._opened:
            try:
                self._opened[kind] = open_artifact(self.path(kind), kind)
            except ArtifactError as error:
                raise self.unusable(kind, str(error)) from error
        return self._opened[kind]

    @property
    def n_rows(self) -> dict[str, int]:
        """Kind -> rows of the tables that could be opened."""
        return {kind: parquet.metadata.num_rows for kind, parquet in self._opened.items()}

    def read(self, kind: str, group: int, columns: list[str] | None = None) -> pa.Table:
        """One row group."""
        try:
            return self.table(kind).read_row_group(group, columns=columns)
        except ArtifactError as error:
            raise self.unusable(kind, str(error), f"row group {group}") from error

    def groups(self, kind: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Row group by row group."""
        for group in range(self.table(kind).num_row_groups):
            yield self.read(kind, group, columns)

    def whole(self, kind: str) -> pa.Table:
        """All rows at once, for kinds that fit into memory."""
        groups = list(self.groups(kind))
        return pa.concat_tables(groups) if groups else self.table(kind).schema_arrow.empty_table()

    def metadata(self, kind: str) -> dict[str, str]:
        """Provenance and settings of a table."""
        return stored_metadata(self.table(kind))

    def setting(self, kind: str, key: str, parse: Callable[[str], _Value]) -> _Value:
        """A setting in the metadata of a table."""
        text = self.metadata(kind).get(key)
        if text is None:
            raise self.unusable(kind, f"its metadata have no {key}")
        try:
            return parse(text)
        except (ValueError, TypeError, KeyError) as error:
            raise self.unusable(kind, f"its metadata have {key} = {text!r}") from error

    @cached_property
    def _frame_rows(self) -> list[tuple[int, str, int]]:
        """Frame id, status and row group of every frame."""
        tables = self.groups("frames", ["frame_id", "status"])
        return [
            (row["frame_id"], row["status"], group)
            for group, table in enumerate(tables)
            for row in table.to_pylist()
        ]

    @property
    def frame_ids(self) -> list[int]:
        """Ids of all frames, usable or not."""
        return [frame_id for frame_id, _, _ in self._frame_rows]

    @cached_property
    def usable(self) -> dict[int, int]:
        """Frame id -> row group of the frames with status `ok`."""
        return {frame_id: group for frame_id, status, group in self._frame_rows if status == "ok"}

    @cached_property
    def frames_with_matches(self) -> dict[int, int]:
        """Frame id -> row group of the correspondences."""
        return row_group_index(self.table("correspondences"))

    def view(self, frame_id: int) -> View | None:
        """Geometry of a frame; None where the frames table holds none that is valid."""
        if frame_id not in self.usable:
            return None
        try:
            return self._views.get(frame_id, lambda: self._read_view(frame_id))
        except (ReaderError, FrameProblem, ValueError, TypeError):
            return None  # named by the check of the frames

    def _read_view(self, frame_id: int) -> View:
        columns = ["frame_id", "width", "height", "depth", "K", "T_world_camera"]
        rows = self.read("frames", self.usable[frame_id], columns).to_pylist()
        row = next(row for row in rows if row["frame_id"] == frame_id)
        return View(
            decode_depth(row["depth"], (row["height"], row["width"])),
            check_intrinsics(numbers(row["K"], 3, 3), "K"),
            check_pose(numbers(row["T_world_camera"], 4, 4), "T_world_camera"),
        )

    @cached_property
    def mesh(self) -> Mesh:
        """The scene's mesh."""
        try:
            return read_ply(self.path("mesh"))
        except MeshError as error:
            raise self.unusable("mesh", str(error)) from error

    @cached_property
    def voxels(self) -> StoredVoxels:
        """The voxels table's cells."""
        return StoredVoxels(
            self.vectors("voxels", self.whole("voxels")["voxel_coords"]),
            self.setting("voxels", "voxel_size_m", positive),
            self.setting("voxels", "grid_origin", lambda text: numbers(json.loads(text), 3)),
        )

    @cached_property
    def vertex_voxel(self) -> Int32[np.ndarray, " v"]:
        """Voxel of each vertex of the mesh."""
        size_m, vertices = self.voxels.voxel_size_m, self.mesh.vertices.astype(np.float64)
        first = np.rint(self.voxels.grid_origin / size_m)
        cells = np.nan_to_num(np.floor(vertices / size_m) - first)
        _, voxel = cKDTree(self.voxels.coords).query(cells, distance_upper_bound=0.5)
        is_outside = voxel == len(self.voxels)
        if is_outside.any():
            n, row = np.count_nonzero(is_outside), int(is_outside.argmax())
            what = f"{n} vertices of mesh.ply are in no voxel, first vertex {row}"
            raise self.unusable("voxels", what)
        return voxel.astype(np.int32)

    def vectors(self, kind: str, column: pa.ChunkedArray) -> np.ndarray:
        """A column of fixed-size lists as (N, d)."""
        values = column.combine_chunks().flatten()
        if values.null_count:
            raise self.unusable(kind, f"{values.null_count} numbers are null")
        return values.to_numpy().reshape(-1, column.type.list_size)


def frame_groups(
    scene: StoredScene, kind: str, found: Findings, columns: list[str] | None = None
) -> Iterator[tuple[int, pa.Table]]:
    """Frame id and rows of each row group; groups that are not one frame each are violations.

    Args:
        scene: The scene.
        kind: Kind with one frame per row group.
        found: Gets the groups that hold no frame or several, and frames out of order.
        columns: Columns to read; `frame_id` must be among them.
    """
    last = None
    for group, table in enumerate(scene.groups(kind, columns)):
        frame_ids = np.unique(table["frame_id"].to_numpy())
        if len(frame_ids) != 1:
            found.add(f"row group {group}", f"holds {len(frame_ids)} frames; needed: one")
            continue
        frame_id = int(frame_ids[0])
        if last is not None and frame_id <= last:
            found.add(f"frame {frame_id}", f"comes after frame {last}; needed: ascending ids")
        last = frame_id
        yield frame_id, table
