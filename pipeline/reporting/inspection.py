"""Draws the pictures of one scene from its artifacts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import layout
from pipeline.data.cache import ByteCache
from pipeline.data.store import SceneStore, StoredFrame
from pipeline.geometry.correspondence import Mode, match_pixels
from pipeline.reporting import scene_pictures
from pipeline.reporting.scene_views import choose_pair, frames_per_voxel, up_axis
from pipeline.schemas import ArtifactError, read_table

#: Following a match there and back should end within this distance of where it began, pixels.
RETURN_PX = 2.0


@dataclass(frozen=True)
class Matching:
    """Match definition that a scene's correspondences were made with.

    Attributes:
        mode: "strict" or "pri3d".
        pixel_radius_m: tolerance for pixel pairs, metres.
    """

    mode: Mode
    pixel_radius_m: float


def stored_matching(metadata: Mapping[bytes, bytes], file: Path) -> Matching:
    """The match definition in the metadata of a correspondences table.

    Raises:
        ArtifactError: the table does not say it.
    """
    try:
        if metadata[b"matching_mode"] == b"strict":
            return Matching("strict", float(metadata[b"radius_m"]))
        return Matching("pri3d", float(metadata[b"pri3d_pixel_z_m"]))
    except (KeyError, ValueError) as error:
        raise ArtifactError(
            f"{file}: its metadata do not name the match definition ({error}); make it again"
        ) from error


def return_share(
    there: tuple[np.ndarray, np.ndarray], back: tuple[np.ndarray, np.ndarray], width: int
) -> float:
    """Share of matches a -> b that end near their start when followed back b -> a.

    Args:
        there: flat pixels in a, and their partners in b.
        back: flat pixels in b, and their partners in a.
        width: image width, pixels.

    Returns:
        Share in [0, 1] within `RETURN_PX`; a pixel of b without a way back counts as lost; NaN
        without matches.
    """
    pixel_a, pixel_b = there
    if not len(pixel_a):
        return float("nan")
    partner = np.full(max(int(pixel_b.max()), int(back[0].max(initial=0))) + 1, -1)
    partner[back[0]] = back[1]
    returned = partner[pixel_b]
    distance = np.hypot(returned % width - pixel_a % width, returned // width - pixel_a // width)
    return float(((returned >= 0) & (distance <= RETURN_PX)).mean())


class SceneInspector:
    """One scene's pictures, as PNGs in a folder.

    Args:
        artifacts: Folder of all scenes' artifacts.
        scene: Scene name.
        out_dir: Folder of the PNGs.
        min_overlap: Smallest overlap of a frame pair that is trained on.
    """

    def __init__(self, artifacts: Path, scene: str, out_dir: Path, min_overlap: float) -> None:
        self.artifacts = artifacts
        self.scene = scene
        self.out_dir = out_dir
        self.min_overlap = min_overlap
        self._store = SceneStore(artifacts, scene, ByteCache(256_000_000))

    def _table(self, kind: str) -> pa.Table:
        return read_table(layout.artifact(self.artifacts, self.scene, kind), kind)

    @property
    def frame_ids(self) -> list[int]:
        """Usable frames in recording order."""
        return self._store.frames.frame_ids

    def default_pair(self) -> tuple[int, int] | None:
        """A pair of usable frames that share about half of what they see."""
        table = self._table("overlaps")
        pairs = np.stack([table[name].to_numpy() for name in ("frame_a", "frame_b")], axis=1)
        usable = np.isin(pairs, self.frame_ids).all(axis=1)
        return choose_pair(pairs[usable], table["overlap"].to_numpy()[usable])

    def _overlap_text(self, a: int, b: int) -> str:
        table = self._table("overlaps")
        ids = pc.and_(pc.equal(table["frame_a"], min(a, b)), pc.equal(table["frame_b"], max(a, b)))
        found = table.filter(ids)["overlap"].to_pylist()
        return f"overlap {found[0]:.2f}" if found else "overlap unknown"

    def draw_pair(self, a: int, b: int) -> Path:
        """Frames a and b with matched pixels joined, by the artifacts' own match definition."""
        file = layout.artifact(self.artifacts, self.scene, "correspondences")
        matching = stored_matching(self._table("correspondences").schema.metadata or {}, file)
        frame_a, frame_b = (self._store.frames.load(frame_id) for frame_id in (a, b))

        def match(start: StoredFrame, end: StoredFrame) -> tuple[np.ndarray, np.ndarray]:
            return match_pixels(
                start.depth, start.K, start.T_world_camera,
                end.depth, end.K, end.T_world_camera,
                matching.mode, matching.pixel_radius_m,
            )  # fmt: skip

        there = match(frame_a, frame_b)
        width = frame_a.color.shape[1]
        share = return_share(there, match(frame_b, frame_a), width)
        title = (
            f"{self.scene}, frames {a} and {b}: {self._overlap_text(a, b)}; {len(there[0])} "
            f"{matching.mode} matches within {matching.pixel_radius_m * 100:g} cm, "
            f"{100 * share:.0f} % return within {RETURN_PX:g} px"
        )
        path = self.out_dir / f"pair_{a}_{b}.png"
        scene_pictures.draw_pair(path, (frame_a.color, frame_b.color), there, title)
        return path

    def draw_segments(self, frame_id: int, k: float | None) -> Path:
        """The oversegmentation over a frame, for one k or for all.

        Raises:
            ArtifactError: there are no segments, or none for this k.
        """
        table = self._table("segments")
        table = table.filter(pc.equal(table["element"], "voxel"))
        known = [float(value) for value in sorted(pc.unique(table["k"]).to_pylist())]
        chosen = [value for value in known if k is None or np.isclose(value, k)]
        if not chosen:
            raise ArtifactError(
                f"{layout.artifact(self.artifacts, self.scene, 'segments')}: no segments for "
                f"k = {k}; it has {', '.join(f'{value:g}' for value in known) or 'none'}"
            )
        matches = self._store.pixel_voxels(frame_id)
        segments = {}
        for value in chosen:
            rows = table.filter(pc.equal(table["k"], pa.scalar(value, pa.float32())))
            of_voxel = np.full(len(self._store.voxels().coords), -1, np.int32)
            of_voxel[rows["vertex_index"].to_numpy()] = rows["segment_id"].to_numpy()
            segment_id = of_voxel[matches.voxel_index]
            n_seen = len(np.unique(segment_id[segment_id >= 0]))
            segments[f"k = {value:g}: {n_seen} segments in this frame"] = (
                matches.pixel,
                segment_id,
            )
        name = "segments" if k is None else f"segments_k{k:g}"
        path = self.out_dir / f"{name}_frame{frame_id}.png"
        image = self._store.frames.load(frame_id).color
        scene_pictures.draw_segments(path, image, segments, f"{self.scene}, frame {frame_id}")
        return path

    def draw_voxels(self) -> Path:
        """Voxels by how many frames see them, from above and from the side."""
        table = self._table("correspondences")
        voxels = self._store.voxels()
        counts = frames_per_voxel(
            table["frame_id"].to_numpy(), table["voxel_index"].to_numpy(), len(voxels.coords)
        )
        poses = np.stack([self._store.frames.load(i).T_world_camera for i in self.frame_ids])
        path = self.out_dir / "voxels.png"
        scene_pictures.draw_voxels(
            path,
            voxels.coords,
            voxels.xyz_world,
            voxels.rgb,
            counts,
            poses[:, :3, 3],
            up_axis(poses[:, :3, :3]),
        )
        return path

    def draw_overlaps(self) -> Path:
        """Overlap of all frame pairs as a matrix and a histogram."""
        table = self._table("overlaps")
        a, b = (table[name].to_numpy() for name in ("frame_a", "frame_b"))
        frame_ids, index = np.unique(np.concatenate([a, b]), return_inverse=True)
        directed = np.full((len(frame_ids), len(frame_ids)), np.nan)
        np.fill_diagonal(directed, 1.0)
        row, column = np.split(index, 2)
        directed[row, column] = table["overlap_ab"].to_numpy()
        directed[column, row] = table["overlap_ba"].to_numpy()
        path = self.out_dir / "overlaps.png"
        scene_pictures.draw_overlaps(
            path, frame_ids, directed, table["overlap"].to_numpy(), self.min_overlap
        )
        return path
