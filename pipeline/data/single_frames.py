"""Batches of single frames, each in two views, for MoCo."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64

from pipeline.config import Moco
from pipeline.data.augment import augment_colour
from pipeline.data.crops import random_crop
from pipeline.data.images import normalise, to_unit_range
from pipeline.data.moving import Movable
from pipeline.data.store import SceneStore
from pipeline.schemas import ArtifactError

#: Crops are squares of a multiple of this, the encoder's stride: 224 of 240 x 320 as MoCo's.
STRIDE_PX = 32

# Independent random streams.
_ORDER, _VIEWS = range(2)


@dataclass(frozen=True)
class FrameBatch(Movable):
    """B frames; the query views come first, then the key views.

    Attributes:
        names: "scene: frame" of each frame, for messages.
        images: float32 (2B, 3, S, S), ImageNet-normalised RGB.
        n_redrawn: frames that were replaced; always 0, since every usable frame serves.
    """

    names: tuple[str, ...]
    images: Float32[torch.Tensor, "b2 3 s s"]
    n_redrawn: int = 0


class FrameBatches:
    """Batch number -> batch, as a pure function of the seed and the number.

    Each epoch is a permutation of all usable frames; an incomplete last batch is dropped.
    """

    def __init__(
        self, scenes: Mapping[str, SceneStore], moco: Moco, accumulation: int, seed: int
    ) -> None:
        """Collect the frames of all scenes.

        Args:
            scenes: Name -> artifacts.
            moco: Images a step, and crops.
            accumulation: Batches of a step.
            seed: Of order and augmentation.

        Raises:
            ArtifactError: there is no usable frame, or a table is unreadable.
        """
        self.scenes = dict(scenes)
        self.batch_images = moco.batch_images // accumulation
        self.seed = seed
        self._crop_scale = moco.crop_scale
        self._keys = [
            (name, frame_id)
            for name, scene in sorted(self.scenes.items())
            for frame_id in scene.frames.frame_ids
        ]
        if not self._keys:
            raise ArtifactError(
                f"none of {len(self.scenes)} scenes has a usable frame; see the frames tables with "
                "`python -m pipeline inspect`"
            )
        self._order: tuple[int, np.ndarray] | None = None

    def counts(self) -> dict[str, int]:
        """How much there is to train on."""
        return {"n_scenes": len(self.scenes), "n_frames": len(self._keys)}

    def __len__(self) -> int:
        """Batches of one epoch."""
        return max(1, len(self._keys) // self.batch_images)

    def _epoch_order(self, epoch: int) -> Int64[np.ndarray, " n"]:
        if self._order is None or self._order[0] != epoch:
            rng = np.random.default_rng([self.seed, _ORDER, epoch])
            self._order = (epoch, rng.permutation(len(self._keys)))
        return self._order[1]

    def __getitem__(self, number: int) -> FrameBatch:
        """Batch `number`, counted from the start of training over all epochs."""
        epoch, within = divmod(number, len(self))
        start = within * self.batch_images
        order = self._epoch_order(epoch)[start : start + self.batch_images]
        keys = [self._keys[row] for row in np.resize(order, self.batch_images)]
        colors = [self.scenes[name].frames.load(frame_id).color for name, frame_id in keys]
        seed = np.random.SeedSequence([self.seed, _VIEWS, number]).generate_state(1)[0]
        generator = torch.Generator().manual_seed(int(seed))
        side = max(1, min(colors[0].shape[:2]) // STRIDE_PX) * STRIDE_PX
        images = to_unit_range(np.stack(colors))
        views = [
            augment_colour(random_crop(image, side, self._crop_scale, generator), generator)
            for _ in range(2)
            for image in images
        ]
        return FrameBatch(
            names=tuple(f"{name}: {frame_id}" for name, frame_id in keys),
            images=normalise(torch.stack(views)),
        )
