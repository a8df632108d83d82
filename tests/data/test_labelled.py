"""Splits of the labelled frames."""

import numpy as np
import pytest
import torch

from pipeline.data.cache import ByteCache
from pipeline.data.labelled import load_labelled
from pipeline.schemas import ArtifactError
from tests.room import POSES, render, wall_label, write_room

SCENES = ["room_a", "room_b", "unlabelled"]


def load(folder, validation_scenes=(), validation_frames=None):
    return load_labelled(folder, SCENES, validation_scenes, validation_frames or {}, ByteCache())


def test_split_by_scenes(artifacts):
    training, validation = load(artifacts, ["room_b"])
    assert training.keys == [("room_a", i) for i in POSES]
    assert validation.keys == [("room_b", i) for i in POSES]


def test_split_by_frames(artifacts):
    training, validation = load(artifacts, validation_frames={"room_a": [3, 8]})
    assert validation.keys == [("room_a", 3), ("room_a", 8)]
    assert len(training) == 6


def test_batch(artifacts):
    training, _ = load(artifacts, ["room_b"])
    batch = training.batch([2, 0])
    assert batch.keys == (("room_a", 5), ("room_a", 0))
    np.testing.assert_array_equal(batch.label[0], wall_label(render(POSES[5])[1]))
    np.testing.assert_allclose(batch.depth[1], render(POSES[0])[0], atol=0.00051)
    assert batch.images.dtype == torch.float32


def test_frames_without_labels_are_ignored_pixels(tmp_path):
    write_room(tmp_path, "room_a", labels=False)
    write_room(tmp_path, "room_b")
    training, validation = load(tmp_path, ["room_b"])
    assert training.labelled_rows() == []
    assert validation.labelled_rows() == [0, 1, 2, 3]
    assert (training.batch([0]).label == 255).all()


def test_wrong_or_missing_split_is_an_error(artifacts):
    with pytest.raises(ArtifactError, match=r"room_a has no usable frames \[4\]"):
        load(artifacts, validation_frames={"room_a": [4]})
    with pytest.raises(ArtifactError, match="no labelled frames for validation"):
        load(artifacts)
