"""Batches of pairs: matches are the same place in 3D, and draws depend only on seed and number."""

import numpy as np
import pytest
import torch

from pipeline.data.batch_stream import batch_stream
from pipeline.data.chunks import frame_box, in_boxes
from pipeline.data.images import denormalise
from pipeline.schemas import ArtifactError
from tests.room import (
    LOWER,
    POSES,
    SIZE,
    UPPER,
    VOXEL_M,
    pair_batches,
    render,
    small_params,
    wall_color,
)


def frame_ids(name):
    return [int(part) for part in name.partition(": ")[2].split("-")]


@pytest.mark.parametrize("mode", ["strict", "pri3d"])
def test_pixel_pairs_are_the_same_place(artifacts, mode):
    params = small_params(geometry={"matching": {"mode": mode, "radius_m": 0.05}})
    batch = pair_batches(artifacts, params)[0]
    distances = []
    for i, name in enumerate(batch.names):
        a, b = (render(POSES[frame_id])[1].reshape(-1, 3) for frame_id in frame_ids(name))
        distances.append(np.linalg.norm(a[batch.pixel_a[i]] - b[batch.pixel_b[i]], axis=1))
    assert np.max(distances) < (0.051 if mode == "strict" else 0.15)
    assert np.ptp(batch.pixel_a.numpy()) > 100


def test_pixel_voxel_matches_and_chunk(artifacts):
    params = small_params(pretraining={"batch_pairs": 4, "pairs_per_scene": 2})
    batch = pair_batches(artifacts, params)[0]
    ids = np.array([frame_ids(name) for name in batch.names]).T.reshape(-1)
    scenes = [name.partition(":")[0] for name in batch.names] * 2
    order = list(dict.fromkeys(scenes))
    for i, (frame_id, scene) in enumerate(zip(ids, scenes, strict=True)):
        points = render(POSES[frame_id])[1].reshape(-1, 3)[batch.voxel_pixel[i]]
        cells = batch.coords[batch.voxel_row[i]].numpy()
        assert (cells[:, 0] == order.index(scene)).all()
        assert np.abs(points - (cells[:, 1:] + 0.5) * VOXEL_M).max() < VOXEL_M / 2 + 1e-4
    colour = wall_color(np.clip((batch.coords[:, 1:].numpy() + 0.5) * VOXEL_M, LOWER, UPPER))
    assert batch.features.min() >= 0
    assert batch.features.max() <= 1
    assert np.corrcoef(colour.reshape(-1), batch.features.reshape(-1))[0, 1] > 0.9
    assert len(torch.unique(batch.coords, dim=0)) == len(batch.coords)


def test_images_are_normalised_frames(artifacts):
    batches = pair_batches(artifacts, small_params())
    batch = batches[1]
    first = frame_ids(batch.names[0])[0]
    stored = batches.scenes["room_a"].frames.load(first).color
    image = (denormalise(batch.images[0]) * 255).round().permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(image, stored)
    assert batch.images.shape == (4, 3, *SIZE)


def test_depth_is_that_of_the_frames_or_left_out(artifacts):
    batches = pair_batches(artifacts, small_params())
    batch = batches[0]
    ids = np.array([frame_ids(name) for name in batch.names]).T.reshape(-1)
    for depth, frame_id in zip(batch.depth.numpy(), ids, strict=True):
        exact = render(POSES[frame_id])[0]
        assert np.abs(depth - exact)[depth > 0].max() < 1e-3
        assert (depth == 0).sum() == (6 * 9 if frame_id == 3 else 0)
    without = pair_batches(artifacts, small_params(), with_depth=False)[0]
    assert without.depth.shape == (4, 0, 0)
    assert torch.equal(without.images, batch.images)


def test_batches_depend_only_on_seed_and_number(artifacts):
    params = small_params()
    one, other = pair_batches(artifacts, params), pair_batches(artifacts, params, with_voxels=False)
    for number in (7, 0, 3):
        a, b = one[number], other[number]
        assert a.names == b.names
        assert torch.equal(a.pixel_a, b.pixel_a)
        assert torch.equal(a.images, b.images)
        assert len(b.coords) == 0
    assert [one[i].names for i in range(5)] != [
        pair_batches(artifacts, params, seed=1)[i].names for i in range(5)
    ]


def test_workers_give_the_same_batches(artifacts):
    batches = pair_batches(artifacts, small_params())
    with batch_stream(batches.__getitem__, range(2, 5), 1) as stream:
        for number, batch in zip(range(2, 5), stream, strict=True):
            assert batch.names == batches[number].names
            assert torch.equal(batch.voxel_row, batches[number].voxel_row)


def test_an_epoch_is_every_pair_once_in_groups_of_a_scene(artifacts):
    params = small_params(pretraining={"batch_pairs": 1, "pairs_per_scene": 5})
    batches = pair_batches(artifacts, params)
    assert len(batches) == batches.n_pairs == 10
    names = [batches[number].names[0] for number in range(20)]
    assert len(set(names[:10])) == len(set(names[10:])) == 10
    assert names[:10] != names[10:]
    assert len({name.partition(":")[0] for name in names[:5]}) == 1


def test_pairs_without_matches_are_redrawn(artifacts, monkeypatch):
    batches = pair_batches(artifacts, small_params())
    match = batches._match
    monkeypatch.setattr(batches, "_match", lambda s, p, rng: match(s, p, rng) if p == 2 else None)
    batch = batches[0]
    assert batch.n_redrawn > 0
    assert all(frame_ids(name) == [3, 5] for name in batch.names)
    monkeypatch.setattr(batches, "_match", lambda *_: None)
    with pytest.raises(ArtifactError, match="pairs in a row have no match"):
        batches[0]


def test_no_pairs_is_an_error(artifacts):
    with pytest.raises(ArtifactError, match=r"overlap >= 0\.95"):
        pair_batches(artifacts, small_params(pretraining={"min_overlap": 0.95}))


def test_frame_box_is_whole_metres_around_what_is_seen(artifacts):
    batches = pair_batches(artifacts, small_params())
    scene = batches.scenes["room_a"]
    points = render(POSES[3])[1].reshape(-1, 3)[scene.frames.load(3).depth.reshape(-1) > 0]
    lower, upper = scene.frame_box(3)
    np.testing.assert_array_equal(lower, np.floor(points.min(axis=0)))
    np.testing.assert_array_equal(upper, np.ceil(points.max(axis=0)))


def test_a_frame_without_depth_has_an_empty_box():
    box = frame_box(np.zeros((4, 5), np.float32), np.eye(3), np.eye(4))
    assert not in_boxes(np.zeros((3, 3), np.float32), box[None]).any()


def test_in_boxes_is_strict_and_a_union():
    xyz = np.array([[0.5, 0.5, 0.5], [1.0, 0.5, 0.5], [2.5, 0.5, 0.5], [9, 9, 9]], np.float32)
    boxes = np.array([[[0, 0, 0], [1, 1, 1]], [[2, 0, 0], [3, 1, 1]]], np.float64)
    assert in_boxes(xyz, boxes).tolist() == [True, False, True, False]
