"""Draws the pictures of one scene from its artifacts."""

from pathlib import Path

import numpy as np

from pipeline.data.scene_sets import SetPixels
from pipeline.readers.labels import LABELS, label_sets
from pipeline.reporting import scene_pictures, voxel_pictures
from pipeline.reporting.scene_contents import SceneContents
from pipeline.reporting.scene_views import RETURN_PX, return_share


class SceneInspector:
    """One scene's pictures, as PNGs in a folder; each method returns the file that it wrote.

    Args:
        contents: The scene.
        out_dir: Folder of the PNGs.
        min_overlap: Smallest overlap of a frame pair that is trained on.
    """

    def __init__(self, contents: SceneContents, out_dir: Path, min_overlap: float) -> None:
        self.contents = contents
        self.out_dir = out_dir
        self.min_overlap = min_overlap

    def draw_pair(self, a: int, b: int) -> Path:
        """Frames a and b with matched pixels joined, by the artifacts' own match definition."""
        contents, matching = self.contents, self.contents.matching
        there = contents.match(a, b)
        images = (contents.frame(a).color, contents.frame(b).color)
        share = return_share(there, contents.match(b, a), images[0].shape[1])
        title = (
            f"{contents.scene}, frames {a} and {b}: overlap {contents.overlap(a, b):.2f}; "
            f"{len(there[0])} {matching.mode} matches within {matching.pixel_m * 100:g} cm, "
            f"{100 * share:.0f} % return within {RETURN_PX:g} px"
        )
        path = self.out_dir / f"pair_{a}_{b}.png"
        scene_pictures.draw_pair(path, images, there, title)
        return path

    def draw_sets(self, a: int, b: int, source: str) -> Path:
        """Frames a and b with the sets that set-InfoNCE matches, one colour a set.

        Raises:
            ArtifactError: a table is missing, or has no sets of this source.
        """
        contents = self.contents
        sets = contents.pair_sets(a, b, source)
        shares = [np.mean(set_id >= 0) for _, set_id in sets]
        n_sets = int(sets[0][1].max()) + 1
        name = LABELS if source == LABELS else f"k{source}"
        path = self.out_dir / f"sets_{a}_{b}_{name}.png"
        title = (
            f"{contents.scene}, frames {a} and {b}: {n_sets} sets of {name} are seen by both; they "
            f"hold {100 * shares[0]:.0f} and {100 * shares[1]:.0f} % of the pixels of sets"
        )
        images = (contents.frame(a).color, contents.frame(b).color)
        scene_pictures.draw_sets(path, images, sets, title)
        return path

    def draw_frame(self, frame_id: int, k: float | None) -> Path:
        """A frame: colour, depth, matches with voxels, labels, and its sets for one k or for all.

        Raises:
            ArtifactError: a table is missing, or has no segments for this k.
        """
        contents, frame = self.contents, self.contents.frame(frame_id)
        chosen = None if k is None else f"{contents.known_k(k):g}"
        overlays: dict[str, SetPixels] = {}
        if (label := contents.label(frame_id)) is not None:
            classes = label_sets(label).reshape(-1)
            overlays["label image"] = np.arange(classes.size, dtype=np.int32), classes
        how = "ray cast" if contents.are_sets_cast() else "by voxels"
        for source, (pixel, set_id) in contents.frame_sets(frame_id).items():
            n_sets = len(np.unique(set_id[set_id >= 0]))
            if source == LABELS:
                overlays[f"{n_sets} labels of the mesh, {how}"] = pixel, set_id
            elif chosen in (None, source):
                overlays[f"k = {source}: {n_sets} segments, {how}"] = pixel, set_id
        matches = contents.voxel_matches(frame_id)
        path = self.out_dir / f"frame_{frame_id}.png"
        scene_pictures.draw_frame(
            path,
            frame,
            (matches["pixel"].to_numpy(), matches["distance_mm"].to_numpy()),
            contents.matching.voxel_m,
            overlays,
            f"{contents.scene}, frame {frame_id}; blue: no depth; grey: no match, segment or label",
        )
        return path

    def draw_segments(self, k: float) -> Path:
        """The oversegmentation of the scene for one k.

        Raises:
            ArtifactError: there are no segments for this k.
        """
        contents, k = self.contents, self.contents.known_k(k)
        path = self.out_dir / f"segments_k{k:g}.png"
        voxel_pictures.draw_segments(
            path,
            contents.voxels(),
            contents.poses,
            contents.segments(k, "voxel"),
            f"{contents.scene}, k = {k:g}",
        )
        return path

    def draw_voxels(self) -> Path:
        """Voxels by how many frames see them, from above and from the side."""
        contents, path = self.contents, self.out_dir / "voxels.png"
        voxel_pictures.draw_voxels(
            path, contents.voxels(), contents.poses, contents.frames_per_voxel(), contents.scene
        )
        return path

    def draw_overlaps(self) -> Path:
        """Overlap of all frame pairs as a matrix and a histogram."""
        path = self.out_dir / "overlaps.png"
        scene_pictures.draw_overlaps(
            path, *self.contents.overlap_matrix(), self.min_overlap, self.contents.scene
        )
        return path
