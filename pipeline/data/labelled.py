"""The labelled frames of finetuning and evaluation, split into training and validation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from pipeline import layout
from pipeline.data.cache import ByteCache
from pipeline.data.images import normalise, to_unit_range
from pipeline.data.moving import Movable
from pipeline.data.store import FrameTable, StoredFrame
from pipeline.readers.labels import IGNORE
from pipeline.schemas import ArtifactError


@dataclass(frozen=True)
class LabelledBatch(Movable):
    """Frames as tensors.

    Attributes:
        keys: (scene, frame id) of each frame.
        images: float32 (B, 3, H, W), ImageNet-normalised RGB.
        depth: float32 (B, H, W), metres, 0 invalid.
        label: uint8 (B, H, W), classes, 255 ignored (all of it where there are no labels).
    """

    keys: tuple[tuple[str, int], ...]
    images: Float32[torch.Tensor, "b 3 h w"]
    depth: Float32[torch.Tensor, "b h w"]
    label: UInt8[torch.Tensor, "b h w"]


class LabelledFrames:
    """Frames of one split, decoded on demand.

    Attributes:
        keys: (scene, frame id) of each frame, in a fixed order.
    """

    def __init__(self, tables: Mapping[str, FrameTable], keys: Sequence[tuple[str, int]]) -> None:
        self._tables = tables
        self.keys = list(keys)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> StoredFrame:
        scene, frame_id = self.keys[index]
        return self._tables[scene].load(frame_id)

    def labelled_rows(self) -> list[int]:
        """Indices of the frames that carry labels."""
        return [
            row
            for row, (scene, frame_id) in enumerate(self.keys)
            if self._tables[scene].has_labels(frame_id)
        ]

    def batch(self, indices: Sequence[int]) -> LabelledBatch:
        """The frames of the given indices as one batch."""
        frames = [self[index] for index in indices]
        labels = [
            np.full(frame.depth.shape, IGNORE, np.uint8) if frame.label is None else frame.label
            for frame in frames
        ]
        return LabelledBatch(
            keys=tuple(self.keys[index] for index in indices),
            images=normalise(to_unit_range(np.stack([frame.color for frame in frames]))),
            depth=torch.from_numpy(np.stack([frame.depth for frame in frames])),
            label=torch.from_numpy(np.stack(labels)),
        )


def load_labelled(
    artifacts_dir: Path,
    scenes: Sequence[str],
    validation_scenes: Sequence[str],
    validation_frames: Mapping[str, Sequence[int]],
    cache: ByteCache,
) -> tuple[LabelledFrames, LabelledFrames]:
    """Training and validation frames of a dataset.

    Args:
        artifacts_dir: Folder of all scenes' artifacts.
        scenes: All scenes; those without a labelled_frames table are left out.
        validation_scenes: Scenes of which all frames are held out.
        validation_frames: Scene -> frame ids held out of a scene that is not.
        cache: Keeps decoded frames.

    Returns:
        Training frames and validation frames, neither empty.

    Raises:
        ArtifactError: a split is empty, or a held-out frame does not exist.
    """
    paths = {scene: layout.artifact(artifacts_dir, scene, "labelled_frames") for scene in scenes}
    tables = {
        scene: FrameTable(path, "labelled_frames", cache)
        for scene, path in sorted(paths.items())
        if path.is_file()
    }
    if unknown_scenes := sorted(set(validation_frames) - set(tables)):
        raise ArtifactError(
            f"labelled.validation_frames names {unknown_scenes}, which have no labelled frames in "
            f"{artifacts_dir}; correct params.yaml, or their frames would be trained on"
        )
    training: list[tuple[str, int]] = []
    validation: list[tuple[str, int]] = []
    for scene, table in tables.items():
        if scene in validation_scenes:
            held_out = set(table.frame_ids)
        else:
            held_out = set(validation_frames.get(scene, ()))
        unknown = sorted(held_out - set(table.frame_ids))
        if unknown:
            raise ArtifactError(
                f"labelled.validation_frames: {scene} has no usable frames {unknown[:5]} "
                f"(its frames: {table.path}); correct the list in params.yaml"
            )
        for frame_id in table.frame_ids:
            (validation if frame_id in held_out else training).append((scene, frame_id))
    for name, split in (("training", training), ("validation", validation)):
        if not split:
            raise ArtifactError(
                f"{artifacts_dir}: no labelled frames for {name} in {len(scenes)} scenes; see "
                "dataset.validation_scenes and labelled.validation_frames in params.yaml"
            )
    return LabelledFrames(tables, training), LabelledFrames(tables, validation)
