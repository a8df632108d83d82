"""What the pictures and the recording of one scene show, read from its artifacts."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float, Float64, Int, Int32, UInt8

from pipeline import layout
from pipeline.data.cache import ByteCache
from pipeline.data.scene_sets import SetPixels
from pipeline.data.store import FrameTable, SceneStore, StoredFrame, VoxelGrid
from pipeline.geometry.correspondence import Mode, match_pixels
from pipeline.geometry.mesh import Mesh, MeshError, read_ply
from pipeline.reporting.scene_views import choose_pair
from pipeline.schemas import (
    ArtifactError,
    open_artifact,
    read_table,
    row_group_index,
    stored_metadata,
)


@dataclass(frozen=True)
class Matching:
    """Match definition that a scene's correspondences were made with.

    Attributes:
        mode: "strict" or "pri3d".
        pixel_m: tolerance for pixel pairs, metres.
        voxel_m: tolerance for pixel-voxel matches, metres.
    """

    mode: Mode
    pixel_m: float
    voxel_m: float


def stored_matching(metadata: Mapping[str, str], file: Path) -> Matching:
    """The match definition in the metadata of a correspondences table.

    Raises:
        ArtifactError: the table does not say it.
    """
    try:
        if metadata["matching_mode"] == "strict":
            radius_m = float(metadata["radius_m"])
            return Matching("strict", radius_m, radius_m)
        pixel_m, voxel_m = (float(metadata[f"pri3d_{end}_z_m"]) for end in ("pixel", "voxel"))
        return Matching("pri3d", pixel_m, voxel_m)
    except (KeyError, ValueError) as error:
        raise ArtifactError(
            f"{file}: its metadata do not name the match definition ({error}); make it again"
        ) from error


class SceneContents:
    """One scene's artifacts.

    Args:
        artifacts: Folder of all scenes' artifacts.
        scene: Scene name.
    """

    def __init__(self, artifacts: Path, scene: str) -> None:
        self.artifacts = artifacts
        self.scene = scene
        cache = ByteCache(256_000_000)
        self._store = SceneStore(artifacts, scene, cache)
        self._labelled = FrameTable(self._path("labelled_frames"), "labelled_frames", cache)

    def _path(self, kind: str) -> Path:
        return layout.artifact(self.artifacts, self.scene, kind)

    def open(self, kind: str) -> pq.ParquetFile:
        """One of the scene's tables; see `open_artifact` for the errors."""
        return open_artifact(self._path(kind), kind)

    def _frame_rows(self, kind: str, frame_id: int) -> pa.Table:
        """Rows of one frame of a table with one frame per row group."""
        parquet = self.open(kind)
        group = row_group_index(parquet).get(frame_id)
        return parquet.read_row_groups([] if group is None else [group])

    @property
    def frame_ids(self) -> list[int]:
        """Usable frames in recording order."""
        return self._store.frames.frame_ids

    def frame(self, frame_id: int) -> StoredFrame:
        """A usable frame, decoded."""
        return self._store.frames.load(frame_id)

    def jpeg(self, frame_id: int) -> bytes:
        """Colour of a usable frame as it is stored."""
        return self._frame_rows("frames", frame_id)["color"][0].as_py()

    def label(self, frame_id: int) -> UInt8[np.ndarray, "h w"] | None:
        """Label image of a frame: uint8 (H, W), classes, 255 ignored; None without one."""
        is_known = self._path("labelled_frames").is_file() and frame_id in self._labelled.frame_ids
        return self._labelled.load(frame_id).label if is_known else None

    @cached_property
    def poses(self) -> Float64[np.ndarray, "f 4 4"]:
        """Camera-to-world poses of the usable frames, float64 (F, 4, 4), metres."""
        table = self.open("frames").read(columns=["status", "T_world_camera"])
        poses = table.filter(pc.equal(table["status"], "ok"))["T_world_camera"].combine_chunks()
        return poses.flatten().to_numpy().reshape(-1, 4, 4)

    def voxels(self) -> VoxelGrid:
        """The scene's voxels.

        Raises:
            ArtifactError: it has none.
        """
        voxels = self._store.voxels()
        if not len(voxels.coords):
            raise ArtifactError(f"{self._path('voxels')}: there are no voxels in it")
        return voxels

    def mesh(self) -> Mesh:
        """The surface that the segments refer to.

        Raises:
            ArtifactError: it is missing or damaged.
        """
        try:
            return read_ply(layout.mesh(self.artifacts, self.scene))
        except MeshError as error:
            raise ArtifactError(f"{error}; make it again with extract-frames") from error

    def metadata(self, kind: str) -> dict[str, str]:
        """Provenance and settings of one of the scene's tables."""
        return stored_metadata(self.open(kind))

    @property
    def matching(self) -> Matching:
        """The match definition of the correspondences."""
        return stored_matching(self.metadata("correspondences"), self._path("correspondences"))

    def match(self, a: int, b: int) -> tuple[Int32[np.ndarray, " n"], Int32[np.ndarray, " n"]]:
        """Matched flat pixels of frames a and b by the correspondences' own definition."""
        start, end, matching = self.frame(a), self.frame(b), self.matching
        return match_pixels(
            start.depth, start.K, start.T_world_camera,
            end.depth, end.K, end.T_world_camera,
            matching.mode, matching.pixel_m,
        )  # fmt: skip

    def voxel_matches(self, frame_id: int) -> pa.Table:
        """Columns pixel, voxel_index and distance_mm of one frame's matches."""
        return self._frame_rows("correspondences", frame_id)

    def frames_per_voxel(self) -> Int[np.ndarray, " m"]:
        """How many frames see each voxel."""
        parquet = self.open("correspondences")
        counts = np.zeros(len(self.voxels().coords), np.int64)
        for group in range(parquet.num_row_groups):  # one frame each
            table = parquet.read_row_group(group, columns=["voxel_index"])
            counts[np.unique(table["voxel_index"].to_numpy())] += 1
        return counts

    @cached_property
    def _segments(self) -> pa.Table:
        return read_table(self._path("segments"), "segments")

    @property
    def k_values(self) -> list[float]:
        """The k of the segments, ascending."""
        return sorted(pc.unique(self._segments["k"]).to_pylist())

    def known_k(self, k: float) -> float:
        """The k of the segments that is meant by `k`.

        Raises:
            ArtifactError: there are no segments for it.
        """
        for value in self.k_values:
            if np.isclose(value, k):
                return value
        known = ", ".join(f"{value:g}" for value in self.k_values) or "none"
        raise ArtifactError(f"{self._path('segments')}: no segments for k = {k:g}; it has {known}")

    def segments(self, k: float, element: str) -> Int32[np.ndarray, " n"]:
        """Segment of each `vertex` or `voxel` for one of `k_values`, -1 none."""
        of_k = pc.equal(self._segments["k"], pa.scalar(k, pa.float32()))
        rows = self._segments.filter(pc.and_(of_k, pc.equal(self._segments["element"], element)))
        segment_id = np.full(rows.num_rows, -1, np.int32)
        segment_id[rows["vertex_index"].to_numpy()] = rows["segment_id"].to_numpy()
        return segment_id

    def are_sets_cast(self) -> bool:
        """Whether the sets were made by ray casting, so that their pixels are stored."""
        if not self._path("sets").is_file():
            return False
        return self.metadata("sets").get("projection") == "ray_casting"

    def frame_sets(self, frame_id: int) -> dict[str, SetPixels]:
        """Pixels of the sets that a frame sees, by source: a k as text, or `labels`.

        Those of ray-cast sets are stored; others follow from the correspondences. None without a
        sets table.
        """
        if not self._path("sets").is_file():
            return {}
        sets = {source: self._store.set_pixels(frame_id, source) for source in self.set_sources}
        return {source: shown for source, shown in sets.items() if len(shown[0])}

    def pair_sets(self, a: int, b: int, source: str) -> tuple[SetPixels, SetPixels]:
        """Pixels of frames a and b, and which of the sets that both see each shows, -1 none.

        Args:
            a: Frame.
            b: Frame.
            source: A k as text, or `labels`.

        Raises:
            ArtifactError: the scene has no sets of this source, or these frames none in common.
        """
        seen = [self._store.set_pixels(frame_id, source) for frame_id in (a, b)]
        common = np.intersect1d(seen[0][1], seen[1][1])
        if not len(common):
            raise ArtifactError(
                f"{self._path('sets')}: frames {a} and {b} have no set of source {source} in common"
            )

        def numbered(pixel: np.ndarray, set_id: np.ndarray) -> SetPixels:
            number = np.searchsorted(common, set_id).astype(np.int32)
            return pixel, np.where(np.isin(set_id, common), number, np.int32(-1))

        return numbered(*seen[0]), numbered(*seen[1])

    @property
    def set_sources(self) -> list[str]:
        """What the scene has sets of: every k as text, and perhaps `labels`."""
        return self._store.set_sources

    def overlap_matrix(self) -> tuple[Int[np.ndarray, " f"], Float[np.ndarray, "f f"]]:
        """Frames in order, and the share of j's points near i's surface at [i, j]; NaN unknown."""
        names = ("frame_a", "frame_b", "overlap_ab", "overlap_ba")
        table = self.open("overlaps").read(columns=list(names))
        a, b, overlap_ab, overlap_ba = (table[name].to_numpy() for name in names)
        frame_ids = np.unique(np.concatenate([a, b, self.frame_ids]).astype(np.int32))
        row, column = np.searchsorted(frame_ids, a), np.searchsorted(frame_ids, b)
        directed = np.full((len(frame_ids), len(frame_ids)), np.nan)
        np.fill_diagonal(directed, 1.0)
        directed[row, column] = overlap_ab
        directed[column, row] = overlap_ba
        return frame_ids, directed

    def overlap(self, a: int, b: int) -> float:
        """The larger of both directions; NaN if unknown."""
        frame_ids, directed = self.overlap_matrix()
        i, j = np.searchsorted(frame_ids, [a, b])
        return float(max(directed[i, j], directed[j, i]))

    def default_pair(self) -> tuple[int, int] | None:
        """A pair of usable frames that share about half of what they see; None without a pair."""
        table = self.open("overlaps").read(columns=["frame_a", "frame_b", "overlap"])
        pairs = np.stack([table[name].to_numpy() for name in ("frame_a", "frame_b")], axis=1)
        usable = np.isin(pairs, self.frame_ids).all(axis=1)
        return choose_pair(pairs[usable], table["overlap"].to_numpy()[usable])
