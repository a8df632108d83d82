"""Batches of single frames: all of them once an epoch, two views, drawn by seed and number."""

import pytest
import torch

from pipeline.data.batch_stream import batch_stream
from pipeline.data.single_frames import FrameBatches
from pipeline.schemas import ArtifactError
from tests.room import frame_batches, moco_params


def params(**options):
    return moco_params(**{"batch_images": 4, "bn_images": 2, **options})


def test_two_views_of_each_frame(artifacts):
    batch = frame_batches(artifacts, params())[0]
    assert batch.images.shape == (8, 3, 32, 32)  # 48 x 64: the largest multiple of 32
    assert batch.images.dtype == torch.float32
    assert len(batch.names) == 4
    first, second = batch.images.chunk(2)
    assert (first - second).flatten(1).abs().amax(dim=1).min() > 0.05
    assert batch.n_redrawn == 0


def test_an_epoch_is_every_usable_frame_once(artifacts):
    batches = frame_batches(artifacts, params())
    assert batches.counts() == {"n_scenes": 2, "n_frames": 8}
    assert len(batches) == 2
    names = [name for number in range(4) for name in batches[number].names]
    usable = {f"room_{room}: {frame}" for room in "ab" for frame in (0, 3, 5, 8)}
    assert set(names[:8]) == set(names[8:]) == usable
    assert names[:8] != names[8:]


def test_parts_of_a_step_are_batches_of_their_own(artifacts):
    changed = moco_params({"accumulation": 2}, batch_images=8, bn_images=2)
    assert len(frame_batches(artifacts, changed)[0].names) == 4


def test_batches_depend_only_on_seed_and_number(artifacts):
    one, other = frame_batches(artifacts, params()), frame_batches(artifacts, params())
    for number in (5, 0, 2):
        assert one[number].names == other[number].names
        assert torch.equal(one[number].images, other[number].images)
    assert not torch.equal(one[0].images, frame_batches(artifacts, params(), seed=1)[0].images)
    # The same frame looks different in the next epoch.
    assert not torch.equal(one[0].images, one[2].images)
    with batch_stream(one.__getitem__, range(1, 3), 1) as stream:
        for number, batch in zip(range(1, 3), stream, strict=True):
            assert torch.equal(batch.images, one[number].images)


def test_crops_are_as_large_as_asked_for(artifacts):
    """Of crops of the whole area the mean colour is the frame's but for the jitter."""
    small, whole = (
        frame_batches(artifacts, params(crop_scale=scale))[0] for scale in ([0.01, 0.02], [1, 1])
    )
    assert small.names == whole.names
    assert small.images.std(dim=(2, 3)).mean() < 0.6 * whole.images.std(dim=(2, 3)).mean()


def test_no_frames_is_an_error():
    with pytest.raises(ArtifactError, match="none of 0 scenes has a usable frame"):
        FrameBatches({}, params().variants["moco"].moco, 1, seed=0)
