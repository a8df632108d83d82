"""The tables of one scene fit together, and the room that they describe is the one rendered."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from pipeline import layout
from pipeline.schemas import SCHEMAS, read_table
from tests.raw_room import POSES, TRAINING_SIZE
from tests.room import LOWER, UPPER


@pytest.fixture(scope="module")
def tables(artifacts_dir: Path) -> dict[str, pd.DataFrame]:
    return {
        kind: read_table(layout.artifact(artifacts_dir, "room", kind), kind).to_pandas()
        for kind in SCHEMAS
    }


def test_a_scene_is_a_handful_of_files(artifacts_dir: Path) -> None:
    names = {path.name for path in (artifacts_dir / "room").iterdir()}
    assert names == {"mesh.ply", *(f"{kind}.parquet" for kind in layout.ARTIFACT_KINDS)}


def test_every_reference_leads_somewhere(tables: dict[str, pd.DataFrame]) -> None:
    frames, matches, sets = tables["frames"], tables["correspondences"], tables["sets"]
    usable = set(frames["frame_id"][frames["status"] == "ok"])
    assert usable == set(POSES)
    assert set(matches["frame_id"]) | set(sets["frame_id"]) <= usable
    assert set(tables["overlaps"]["frame_a"]) | set(tables["overlaps"]["frame_b"]) == usable
    assert matches["voxel_index"].between(0, len(tables["voxels"]) - 1).all()
    assert matches["pixel"].between(0, np.prod(TRAINING_SIZE) - 1).all()
    segments = tables["segments"]
    for source, found in sets.groupby("set_source"):
        known = segments["segment_id"][segments["k"] == np.float32(source)]
        assert set(found["set_id"]) <= set(known)


def test_voxels_lie_on_the_walls(tables: dict[str, pd.DataFrame]) -> None:
    voxels = tables["voxels"]
    centres = np.stack(voxels["xyz_world"])
    distance = np.minimum(np.abs(centres - LOWER), np.abs(centres - UPPER)).min(axis=1)
    # Fused at 5 cm, in voxels of 10 cm: half a voxel's diagonal and the fusion's rounded corners.
    assert (distance < 0.05 * np.sqrt(3)).mean() > 0.95
    coords = np.stack(voxels["voxel_coords"])
    np.testing.assert_array_equal(np.lexsort(coords.T[::-1]), np.arange(len(coords)))
    assert coords.min() == 0


def test_matched_pixels_see_the_colour_of_their_voxel(tables: dict[str, pd.DataFrame]) -> None:
    """Voxels got their colours by fusion of the raw frames: poses and K, end to end."""
    colours = np.stack(tables["voxels"]["rgb"]).astype(float)
    matches = tables["correspondences"]
    for row in tables["frames"][:3].itertuples():
        seen = matches[matches["frame_id"] == row.frame_id]
        image = cv2.imdecode(np.frombuffer(row.color, np.uint8), cv2.IMREAD_COLOR_RGB)
        pixels = image.reshape(-1, 3)[seen["pixel"]].astype(float)
        of_voxels = colours[seen["voxel_index"]]
        shuffled = np.random.default_rng(0).permutation(of_voxels)
        assert np.abs(pixels - of_voxels).mean() < 0.5 * np.abs(pixels - shuffled).mean()


def test_overlaps_are_shares(tables: dict[str, pd.DataFrame]) -> None:
    overlaps = tables["overlaps"]
    assert overlaps[["overlap_ab", "overlap_ba"]].stack().between(0, 1).all()
    largest = overlaps[["overlap_ab", "overlap_ba"]].max(axis=1)
    np.testing.assert_array_equal(overlaps["overlap"], largest)
    # Neighbours in time share most of what they see.
    neighbours = overlaps[overlaps["frame_b"] == overlaps["frame_a"] + 1]
    assert (neighbours["overlap"] > 0.7).all()
