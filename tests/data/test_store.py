"""The scene store against the analytic room."""

import shutil
from pathlib import Path

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


def read_everything(artifacts: Path) -> list[np.ndarray]:
    """All that training reads of a scene."""
    store = SceneStore(artifacts, "room_b", ByteCache())
    arrays = [store.pairs(0.3), *vars(store.voxels()).values()]
    for frame_id in store.frames.frame_ids:
        frame, matches = store.frames.load(frame_id), store.pixel_voxels(frame_id)
        arrays += [frame.color, frame.depth, frame.K, frame.T_world_camera]
        arrays += [matches.pixel, matches.voxel_index]
        arrays += [
            array for k in ("0.01", "0.05") for array in vars(store.sets(frame_id, k)).values()
        ]
    return arrays


@pytest.mark.parametrize(
    "kind", ["frames", "voxels", "correspondences", "overlaps", "sets", "segments"]
)
def test_a_flipped_bit_is_named_and_never_trained_on(artifacts, tmp_path, kind):
    """Anywhere in the data: every page has a checksum (the footer behind them has none)."""
    shutil.copytree(artifacts / "room_b", tmp_path / "room_b")
    file = tmp_path / "room_b" / f"{kind}.parquet"
    good, expected = file.read_bytes(), read_everything(artifacts)
    end = len(good) - 8 - int.from_bytes(good[-8:-4], "little")
    rng, named = np.random.default_rng(0), []
    for place in rng.integers(4, end, 60):
        damaged = bytearray(good)
        damaged[place] ^= 1 << rng.integers(8)
        file.write_bytes(damaged)
        try:
            found = read_everything(tmp_path)
        except ArtifactError as error:
            named.append(str(error))
        else:  # in a column that training does not read
            assert all(map(np.array_equal, found, expected))
    assert len(named) > 10
    remedy = f"`rm {file} && snakemake --cores 2 all_artifacts` makes it again"
    assert all(remedy in message for message in named)


def test_damaged_metadata_are_named(artifacts, tmp_path):
    shutil.copytree(artifacts / "room_b", tmp_path / "room_b")
    file = tmp_path / "room_b" / "voxels.parquet"
    file.write_bytes(file.read_bytes().replace(b"voxel_size_m", b"voxel_sise_m"))
    with pytest.raises(ArtifactError, match=r"voxels\.parquet: damaged metadata.*`rm "):
        SceneStore(tmp_path, "room_b", ByteCache()).voxels()


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
