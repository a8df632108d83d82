"""The scene store against the analytic room."""

import numpy as np
import pytest

from pipeline.data.cache import ByteCache
from pipeline.data.store import FrameTable, SceneStore
from pipeline.layout import artifact
from pipeline.schemas import ArtifactError
from tests.room import POSES, VOXEL_M, K, render, wall_color, wall_label


def test_frames_decode_to_what_was_rendered(artifacts):
    store = SceneStore(artifacts, "room_a", ByteCache())
    assert store.frames.frame_ids == [0, 3, 5, 8]
    frame = store.frames.load(5)
    depth, points = render(POSES[5])
    np.testing.assert_allclose(frame.depth, depth, atol=0.00051)
    np.testing.assert_array_equal(frame.K, K)
    np.testing.assert_array_equal(frame.T_world_camera, POSES[5])
    difference = frame.color.astype(int) - wall_color(points).astype(int)
    assert np.abs(difference).mean() < 4
    assert frame.label is None


def test_labels_decode(artifacts):
    table = FrameTable(
        artifact(artifacts, "room_a", "labelled_frames"), "labelled_frames", ByteCache()
    )
    np.testing.assert_array_equal(table.load(8).label, wall_label(render(POSES[8])[1]))
    assert table.has_labels(8)


def test_pairs_respect_overlap_and_lost_frames(artifacts):
    store = SceneStore(artifacts, "room_a", ByteCache())
    assert store.pairs(0.3).tolist() == [[0, 3], [0, 8], [3, 5], [3, 8], [5, 8]]
    assert len(store.pairs(0.05)) == 6
    assert store.pairs(0.9).shape == (0, 2)


def test_correspondences_point_at_the_wall(artifacts):
    store = SceneStore(artifacts, "room_b", ByteCache())
    found = store.pixel_voxels(3)
    points = render(POSES[3])[1].reshape(-1, 3)[found.pixel]
    distance = np.abs(points - store.voxels().xyz_world[found.voxel_index]).max(axis=1)
    assert len(found.pixel) > 1000
    assert distance.max() < VOXEL_M / 2 + 1e-4
    assert len(store.pixel_voxels(6).pixel) == 0


def test_missing_table_names_the_file(artifacts):
    with pytest.raises(ArtifactError, match=r"room_z.frames\.parquet: missing"):
        _ = SceneStore(artifacts, "room_z", ByteCache()).frames.frame_ids


def test_cache_keeps_what_was_used_last():
    loads = []

    def load(key, size=40):
        return cache.get(key, lambda: loads.append(key) or np.zeros(size, np.uint8))

    cache = ByteCache(limit_bytes=100)
    for key in ("a", "b", "a", "c", "a", "b"):
        load(key)
    assert loads == ["a", "b", "c", "b"]
    assert cache.used_bytes == 80
    load("large", 1000)
    assert cache.used_bytes == 1000
