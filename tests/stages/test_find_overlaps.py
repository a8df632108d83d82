from itertools import combinations
from pathlib import Path

import numpy as np

from pipeline import layout
from pipeline.geometry.overlap import compute_overlaps, depth_to_cloud, downsample_cloud
from pipeline.schemas import read_table
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
