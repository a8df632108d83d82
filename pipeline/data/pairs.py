"""Batches of overlapping frame pairs for pretraining."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int32, Int64

from pipeline.config import Matching, Pretraining, SetContrast
from pipeline.data.augment import augment_colour
from pipeline.data.chunks import chunk_rows, in_boxes
from pipeline.data.images import normalise, to_unit_range
from pipeline.data.matched_sets import MatchedSets, SeenPair, match_sets, see_pair
from pipeline.data.moving import Movable
from pipeline.data.scene_sets import source_name
from pipeline.data.store import SceneStore, StoredFrame
from pipeline.geometry.correspondence import sample_pixel_matches
from pipeline.schemas import ArtifactError

#: A batch gives up after this many redraws in a row: then the geometry is wrong, not the draw.
MAX_REDRAWS = 200

# Independent random streams, so that a variant's losses never change another stream's draws.
_ORDER, _REDRAW, _PIXEL_PAIRS, _PIXEL_VOXELS, _COLOUR, _SETS = range(6)
#: The second stage draws from streams of its own, so that it does not repeat the first one's order.
_SECOND_STAGE = 16


@dataclass(frozen=True)
class PairBatch(Movable):
    """B frame pairs; views a come first, then views b, wherever 2B stand.

    Attributes:
        names: "scene: frame_a-frame_b" of each pair, for messages.
        n_redrawn: pairs that had no match and were replaced.
        images: float32 (2B, 3, H, W), ImageNet-normalised RGB.
        pixel_a: int64 (B, N), flat pixel of view a, matched with `pixel_b`.
        pixel_b: int64 (B, N), flat pixel of view b.
        voxel_pixel: int64 (2B, N), flat pixel matched with `voxel_row`; N is 0 without voxels.
        voxel_row: int64 (2B, N), row of `coords`.
        coords: int32 (V, 4), scene of the batch and grid cell, the 3D network's input.
        features: float32 (V, 3), RGB in [0, 1].
        depth: float32 (2B, H, W), metres, 0 missing; (2B, 0, 0) without depth.
        sets: those that both views of a pair see; None where no loss needs them.
    """

    names: tuple[str, ...]
    n_redrawn: int
    images: Float32[torch.Tensor, "b2 3 h w"]
    pixel_a: Int64[torch.Tensor, "b n"]
    pixel_b: Int64[torch.Tensor, "b n"]
    voxel_pixel: Int64[torch.Tensor, "b2 nv"]
    voxel_row: Int64[torch.Tensor, "b2 nv"]
    coords: Int32[torch.Tensor, "v 4"]
    features: Float32[torch.Tensor, "v 3"]
    depth: Float32[torch.Tensor, "b2 _hd _wd"]
    sets: MatchedSets | None = None


@dataclass(frozen=True)
class _Matches:
    """One pair, the pixel matches that were drawn of it, and its sets where a loss needs them."""

    scene: str
    frames: tuple[StoredFrame, StoredFrame]
    pixels: tuple[np.ndarray, np.ndarray]
    seen: SeenPair | None

    @property
    def name(self) -> str:
        return f"{self.scene}: {self.frames[0].frame_id}-{self.frames[1].frame_id}"


class PairBatches:
    """Batch number -> batch, as a pure function of the seed and the number.

    A resumed run therefore sees what an uninterrupted one would, and all variants of one seed see
    the same pairs: a pair counts as unusable if it lacks pixel or voxel matches, whichever losses
    are on. Only pairs without a common set are replaced for the variants that need sets, so their
    batches with such a pair differ from those of the second stage's other variants. Each epoch is
    a permutation of all pairs in which `pairs_per_scene` pairs of a scene follow each other; an
    incomplete last batch is dropped.
    """

    def __init__(
        self,
        scenes: Mapping[str, SceneStore],
        pretraining: Pretraining,
        matching: Matching,
        seed: int,
        with_voxels: bool,
        with_depth: bool = False,
        sets: SetContrast | None = None,
        is_second_stage: bool = False,
    ) -> None:
        """Collect the pairs of all scenes.

        Args:
            scenes: Name -> artifacts.
            pretraining: Batch size, overlap, number of matches, augmentation.
            matching: What counts as one place.
            seed: Of order and sampling.
            with_voxels: Whether the batches carry the 3D input (GEO).
            with_depth: Whether the batches carry depth (depth proxy loss).
            sets: Source and smallest size of those that the batches carry; None: they carry none.
            is_second_stage: Whether order and sampling are those of the second stage.

        Raises:
            ArtifactError: no scene has a pair that overlaps enough, or an artifact is unreadable.
        """
        self.scenes = dict(scenes)
        self.batch_pairs = pretraining.batch_pairs // pretraining.accumulation
        self.matching = matching
        self.seed = seed
        self.with_voxels = with_voxels
        self.with_depth = with_depth
        self.sets = sets
        self._first_stream = _SECOND_STAGE if is_second_stage else 0
        self._pretraining = pretraining
        self._pairs = {
            name: pairs
            for name, scene in sorted(self.scenes.items())
            if len(pairs := scene.pairs(pretraining.min_overlap))
        }
        if not self._pairs:
            raise ArtifactError(
                f"none of {len(self.scenes)} scenes has a pair of frames with overlap >= "
                f"{pretraining.min_overlap} (pretraining.min_overlap); see the overlaps tables "
                "with `python -m pipeline inspect`"
            )
        self._names = list(self._pairs)
        self._order: tuple[int, np.ndarray] | None = None

    @property
    def n_pairs(self) -> int:
        """Pairs of all scenes."""
        return sum(len(pairs) for pairs in self._pairs.values())

    def counts(self) -> dict[str, int]:
        """How much there is to train on."""
        return {"n_scenes": len(self.scenes), "n_pairs": self.n_pairs}

    def __len__(self) -> int:
        """Batches of one epoch."""
        return max(1, self.n_pairs // self.batch_pairs)

    def _entropy(self, stream: int, number: int) -> list[int]:
        """Seeds one stream of random numbers for one batch or epoch."""
        return [self.seed, self._first_stream + stream, number]

    def _epoch_order(self, epoch: int) -> Int64[np.ndarray, "p 2"]:
        """Scene number and pair number of every pair, in this epoch's order."""
        if self._order is None or self._order[0] != epoch:
            rng = np.random.default_rng(self._entropy(_ORDER, epoch))
            rows, groups, n_groups = [], [], 0
            for number, pairs in enumerate(self._pairs.values()):
                order = rng.permutation(len(pairs))
                rows.append(np.stack([np.full_like(order, number), order], axis=1))
                groups.append(n_groups + np.arange(len(pairs)) // self._pretraining.pairs_per_scene)
                n_groups = int(groups[-1][-1]) + 1
            rank = rng.permutation(n_groups)[np.concatenate(groups)]
            self._order = (epoch, np.concatenate(rows)[np.argsort(rank, kind="stable")])
        return self._order[1]

    def _match(
        self, scene_number: int, pair_number: int, rng: np.random.Generator
    ) -> _Matches | None:
        """One pair with `n_matches` pixel matches.

        Returns:
            None if it lacks pixel or voxel matches, or common sets where they are needed.
        """
        name = self._names[scene_number]
        scene = self.scenes[name]
        id_a, id_b = self._pairs[name][pair_number].tolist()
        if not (scene.has_pixel_voxels(id_a) and scene.has_pixel_voxels(id_b)):
            return None
        a, b = scene.frames.load(id_a), scene.frames.load(id_b)
        pixels = sample_pixel_matches(
            a.depth,
            a.K,
            a.T_world_camera,
            b.depth,
            b.K,
            b.T_world_camera,
            self.matching.mode,
            self.matching.pixel_tolerance_m,
            self._pretraining.contrast.n_matches,
            rng,
        )
        if not len(pixels[0]):
            return None
        if self.sets is None:
            return _Matches(name, (a, b), pixels, None)
        source = source_name(self.sets.source)
        sets_a, sets_b = (scene.sets(frame_id, source) for frame_id in (id_a, id_b))
        seen = see_pair(name, sets_a, sets_b, self.sets.min_pixels)
        return _Matches(name, (a, b), pixels, seen) if len(seen.rows[0]) else None

    def _draw(self, number: int) -> tuple[list[_Matches], int]:
        """The pairs of one batch and how many had to be replaced."""
        epoch, within = divmod(number, len(self))
        order = self._epoch_order(epoch)
        start = within * self.batch_pairs
        picked = np.resize(order[start : start + self.batch_pairs], (self.batch_pairs, 2))
        redraw, draw = (
            np.random.default_rng(self._entropy(stream, number))
            for stream in (_REDRAW, _PIXEL_PAIRS)
        )
        matches, n_redrawn = [], 0
        for scene_number, pair_number in picked.tolist():
            found = self._match(scene_number, pair_number, draw)
            for _ in range(MAX_REDRAWS):
                if found is not None:
                    break
                n_redrawn += 1
                scene_number, pair_number = order[redraw.integers(len(order))].tolist()
                found = self._match(scene_number, pair_number, draw)
            if found is None:
                raise ArtifactError(
                    f"batch {number}: {MAX_REDRAWS} pairs in a row have no match"
                    f"{' or no common set' if self.sets else ''}, the last "
                    f"{self._names[scene_number]}: "
                    f"{self._pairs[self._names[scene_number]][pair_number].tolist()}; check poses "
                    "and geometry.matching with `python -m pipeline inspect`"
                )
            matches.append(found)
        return matches, n_redrawn

    def __getitem__(self, number: int) -> PairBatch:
        """Batch `number`, counted from the start of training over all epochs."""
        matches, n_redrawn = self._draw(number)
        pixel_a, pixel_b = (np.stack([found.pixels[view] for found in matches]) for view in (0, 1))
        views = [(found.scene, found.frames[view]) for view in (0, 1) for found in matches]
        if self.with_voxels:
            voxels = self._voxels(views, number)
        else:
            empty = np.empty((len(views), 0), np.int64)
            voxels = (empty, empty, np.empty((0, 4), np.int32), np.empty((0, 3), np.float32))
        frames = [frame for _, frame in views]
        size = None if self.with_depth else 0
        depth = np.stack([frame.depth[:size, :size] for frame in frames])
        voxel_pixel, voxel_row, coords, features = (torch.from_numpy(array) for array in voxels)
        return PairBatch(
            names=tuple(found.name for found in matches),
            n_redrawn=n_redrawn,
            images=self._images(frames, number),
            pixel_a=torch.from_numpy(pixel_a).long(),
            pixel_b=torch.from_numpy(pixel_b).long(),
            voxel_pixel=voxel_pixel,
            voxel_row=voxel_row,
            coords=coords,
            features=features,
            depth=torch.from_numpy(depth),
            sets=self._sets(matches, number),
        )

    def _images(self, frames: list[StoredFrame], number: int) -> Float32[torch.Tensor, "b2 3 h w"]:
        images = to_unit_range(np.stack([frame.color for frame in frames]))
        if self._pretraining.augmentation.colour:
            seed = np.random.SeedSequence(self._entropy(_COLOUR, number)).generate_state(1)[0]
            generator = torch.Generator().manual_seed(int(seed))
            images = torch.stack([augment_colour(image, generator) for image in images])
        return normalise(images)

    def _sets(self, matches: list[_Matches], number: int) -> MatchedSets | None:
        if self.sets is None:
            return None
        height, width = matches[0].frames[0].depth.shape
        n_cells = ((height + 1) // 2) * ((width + 1) // 2)
        rng = np.random.default_rng(self._entropy(_SETS, number))
        return match_sets([found.seen for found in matches if found.seen], n_cells, rng)

    def _voxels(
        self, views: list[tuple[str, StoredFrame]], number: int
    ) -> tuple[
        Int64[np.ndarray, "b2 n"],
        Int64[np.ndarray, "b2 n"],
        Int32[np.ndarray, "v 4"],
        Float32[np.ndarray, "v 3"],
    ]:
        """Sampled pixel-voxel matches of every view, and the chunks they point into."""
        n_matches = self._pretraining.contrast.n_matches
        rng = np.random.default_rng(self._entropy(_PIXEL_VOXELS, number))
        pixel = np.empty((len(views), n_matches), np.int64)
        row = np.empty_like(pixel)
        coords, features, n_rows = [], [], 0
        for chunk, name in enumerate(dict.fromkeys(name for name, _ in views)):
            scene = self.scenes[name]
            grid = scene.voxels()
            members = [index for index, (other, _) in enumerate(views) if other == name]
            ids = {index: views[index][1].frame_id for index in members}
            matches = {index: scene.pixel_voxels(frame_id) for index, frame_id in ids.items()}
            boxes = np.stack([scene.frame_box(frame_id) for frame_id in set(ids.values())])
            inside = in_boxes(grid.xyz_world, boxes)
            for index, found in matches.items():
                sampled = _sample(rng, len(found.pixel), n_matches)
                pixel[index], row[index] = found.pixel[sampled], found.voxel_index[sampled]
            # Boxes end at points; the centre of a voxel matched with one may lie just outside.
            inside[row[members]] = True
            row[members] = n_rows + chunk_rows(inside)[row[members]]
            cells = np.full((np.count_nonzero(inside), 4), chunk, np.int32)
            cells[:, 1:] = grid.coords[inside]
            coords.append(cells)
            features.append(grid.rgb[inside] / np.float32(255))
            n_rows += len(cells)
        return pixel, row, np.concatenate(coords), np.concatenate(features)


def _sample(rng: np.random.Generator, n: int, size: int) -> Int64[np.ndarray, " size"]:
    """`size` of n rows, without replacement where there are enough.

    Source: spec A.8 (1,024 matches uniformly, with replacement if fewer).
    """
    return rng.choice(n, size, replace=n < size)
