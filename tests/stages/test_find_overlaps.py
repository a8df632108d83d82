from itertools import combinations
from pathlib import Path

import numpy as np

from pipeline import layout
from pipeline.data.cache import ByteCache
from pipeline.data.store import FrameTable
from pipeline.geometry.correspondence import match_pixels
from pipeline.geometry.overlap import compute_overlaps, depth_to_cloud, downsample_cloud
from pipeline.schemas import open_artifact, read_table
from pipeline.stages.find_overlaps import find_scene_overlaps
from tests.raw_room import POSES, depth_mm, raw_params
from tests.room import K


def test_all_pairs_of_usable_frames_at_the_raw_resolution(artifacts_dir: Path) -> None:
    table = read_table(layout.artifact(artifacts_dir, "room", "overlaps"), "overlaps").to_pandas()
    pairs = list(combinations(POSES, 2))
    assert list(zip(table["frame_a"], table["frame_b"], strict=True)) == pairs
    clouds = []
    for pose in POSES.values():
        depth = depth_mm(pose).astype(np.float32) / np.float32(1000)
        clouds.append(downsample_cloud(depth_to_cloud(depth, K, pose), 0.1))
    directed = compute_overlaps(clouds, 0.15)
    a, b = np.array(pairs).T
    np.testing.assert_array_equal(table["overlap_ab"], directed[a, b])
    np.testing.assert_array_equal(table["overlap_ba"], directed[b, a])
    np.testing.assert_array_equal(table["overlap"], np.maximum(directed[a, b], directed[b, a]))
    # The camera turns: the first pair shares more than the first and the last.
    assert table["overlap"].iloc[0] > table["overlap"].iloc[len(POSES) - 2]


def test_one_frame_has_no_pairs(raw_dir: Path, tmp_path: Path) -> None:
    params = raw_params(raw_dir)
    dataset = params.dataset.model_copy(update={"frame_stride": 100})
    find_scene_overlaps(params.model_copy(update={"dataset": dataset}), "room", tmp_path)
    assert read_table(layout.artifact(tmp_path, "room", "overlaps"), "overlaps").num_rows == 0


def test_pixel_pairs_are_stored_on_demand(
    raw_dir: Path, artifacts_dir: Path, tmp_path: Path
) -> None:
    """Those of the frames as they are stored, for pairs that overlap enough."""
    params = raw_params(raw_dir)
    overlaps = params.geometry.overlaps.model_copy(update={"pixel_pairs_from": 0.8})
    geometry = params.geometry.model_copy(update={"overlaps": overlaps})
    find_scene_overlaps(params.model_copy(update={"geometry": geometry}), "room", tmp_path)
    path = layout.artifact(tmp_path, "room", "overlaps")
    table = read_table(path, "overlaps").to_pandas()
    without = read_table(layout.artifact(artifacts_dir, "room", "overlaps"), "overlaps").to_pandas()
    assert without[["pixel_a", "pixel_b"]].isna().all(axis=None)
    names = ["frame_a", "frame_b", "overlap_ab", "overlap_ba", "overlap"]
    assert table[names].equals(without[names])
    assert open_artifact(path, "overlaps").num_row_groups == len(POSES) - 1  # one per frame_a
    frames = FrameTable(layout.artifact(artifacts_dir, "room", "frames"), "frames", ByteCache())
    kept = table["overlap"] >= np.float32(0.8)
    assert 0 < kept.sum() < len(table)
    assert (table["pixel_a"].isna() == ~kept).all()
    for row in table[kept].itertuples():
        a, b = frames.load(row.frame_a), frames.load(row.frame_b)
        expected = match_pixels(
            a.depth, a.K, a.T_world_camera, b.depth, b.K, b.T_world_camera, "strict", 0.1
        )
        np.testing.assert_array_equal(row.pixel_a, expected[0])
        np.testing.assert_array_equal(row.pixel_b, expected[1])
        assert len(row.pixel_a) > 100
