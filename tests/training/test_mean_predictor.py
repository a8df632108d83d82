"""The mean predictor, against a calculation by hand."""

import math

import numpy as np
import pytest
import torch

from pipeline.config import Finetuning
from pipeline.data.images import IMAGENET_MEAN, IMAGENET_STD
from pipeline.data.labelled import LabelledFrames
from pipeline.data.store import FrameTable, StoredFrame
from pipeline.readers.labels import IGNORE
from pipeline.training.mean_predictor import evaluate_means, training_means
from pipeline.training.tasks import depth_task, reconstruction_task, segmentation_task

BLACK, WHITE = 0, 255
SECTION = Finetuning(depth_max_m=10.0)
TASKS = [
    depth_task(SECTION),
    reconstruction_task(),
    segmentation_task(["floor", "wall"], torch.device("cpu")),
]


def frame(grey: tuple[int, int], depth: tuple[float, float], label: tuple[int, int] | None):
    """Two pixels."""
    return StoredFrame(
        frame_id=0,
        T_world_camera=np.eye(4),
        K=np.eye(3),
        color=np.repeat(np.array([grey], np.uint8)[..., None], 3, axis=-1),
        depth=np.array([depth], np.float32),
        label=None if label is None else np.array([label], np.uint8),
    )


class Table(FrameTable):
    """One frame a scene."""

    def __init__(self, only: StoredFrame) -> None:
        self._only = only

    def load(self, frame_id: int) -> StoredFrame:
        return self._only

    def has_labels(self, frame_id: int) -> bool:
        return self._only.label is not None


def split(*frames: StoredFrame) -> LabelledFrames:
    tables = {f"scene{number}": Table(each) for number, each in enumerate(frames)}
    return LabelledFrames(tables, [(scene, 0) for scene in tables])


TRAINING = split(
    # No depth in one pixel; beyond depth_max_m and without a class in another.
    frame((BLACK, WHITE), (1.0, 0.0), (0, 1)),
    frame((WHITE, BLACK), (2.0, 12.0), (1, 255)),
)
VALIDATION = split(
    frame((WHITE, WHITE), (2.5, 3.5), (1, 0)), frame((BLACK, WHITE), (1.5, 0.0), None)
)


def test_means_of_the_training_frames() -> None:
    means = training_means(TRAINING, SECTION.depth_max_m)
    assert means.depth_m == 1.5
    assert means.label == 1
    grey = [(0.5 - m) / s for m, s in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)]
    torch.testing.assert_close(
        means.colour, torch.tensor(grey, dtype=torch.float64), atol=1e-6, rtol=0
    )


def test_scores_of_the_validation_frames() -> None:
    means = training_means(TRAINING, SECTION.depth_max_m)
    found = evaluate_means(means, VALIDATION, TASKS)
    # Errors of 1 m and 2 m in the first scene, of 0 m in the second.
    depth = found["depth"]
    assert depth["score"] == pytest.approx(-100 * (1 + 4 + 0) / 3)
    assert depth["rmse_m"] == pytest.approx(math.sqrt(5 / 3))
    assert depth["scenes"]["scene0"]["score"] == pytest.approx(-250)
    assert depth["scenes"]["scene1"]["score"] == 0
    # Black and white both are half the range from grey.
    half = np.mean([(0.5 / s) ** 2 for s in IMAGENET_STD])
    for scores in (found["reconstruction"], *found["reconstruction"]["scenes"].values()):
        assert scores["score"] == pytest.approx(-100 * half, rel=1e-5)
    # "wall" everywhere: it is right in one of two pixels; "floor" has none.
    segmentation = found["segmentation"]
    assert segmentation["per_class"] == {"floor": 0.0, "wall": 50.0}
    assert segmentation["miou"] == 25.0
    assert list(segmentation["scenes"]) == ["scene0"]


def test_frames_without_depth_or_labels() -> None:
    means = training_means(split(frame((BLACK, BLACK), (0.0, 0.0), None)), SECTION.depth_max_m)
    assert math.isnan(means.depth_m)
    assert means.label == IGNORE
