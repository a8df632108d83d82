from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.schemas import ArtifactError, open_artifact, read_table, row_group_index, write_table


def correspondences(frame_id: int, n: int) -> dict[str, object]:
    return {
        "frame_id": np.full(n, frame_id, np.int32),
        "pixel": np.arange(n, dtype=np.int32),
        "voxel_index": np.arange(n, dtype=np.int32)[::-1],
        "distance_mm": np.zeros(n, np.uint8),
    }


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    path = tmp_path / "scene" / "correspondences.parquet"
    groups = [correspondences(7, 3), correspondences(9, 5)]
    write_table(path, "correspondences", groups, lambda: {"reader": "test"})
    return path


def test_round_trip_with_provenance(artifact: Path) -> None:
    table = read_table(artifact, "correspondences")
    assert table.num_rows == 8
    assert table.schema.metadata[b"reader"] == b"test"
    assert table.schema.field("distance_mm").metadata[b"unit"] == b"mm"
    assert list(artifact.parent.iterdir()) == [artifact]


def test_one_row_group_per_frame(artifact: Path) -> None:
    parquet = open_artifact(artifact, "correspondences")
    index = row_group_index(parquet)
    assert list(index) == [7, 9]
    assert parquet.read_row_group(index[9]).column("frame_id").to_pylist() == [9] * 5


def test_fixed_size_lists_keep_their_rows(tmp_path: Path) -> None:
    centres = np.arange(12, dtype=np.float32).reshape(4, 3)
    columns = {
        "voxel_index": np.arange(4, dtype=np.int32),
        "voxel_coords": np.zeros((4, 3), np.int32),
        "xyz_world": centres,
        "rgb": np.zeros((4, 3), np.uint8),
        "n_vertices": np.ones(4, np.int32),
    }
    write_table(tmp_path / "voxels.parquet", "voxels", [columns], dict)
    stored = read_table(tmp_path / "voxels.parquet", "voxels").column("xyz_world")
    assert np.array_equal(np.array(stored.to_pylist(), np.float32), centres)


def test_failed_write_leaves_the_old_file(artifact: Path) -> None:
    before = artifact.read_bytes()

    def groups():
        yield correspondences(1, 2)
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        write_table(artifact, "correspondences", groups(), dict)
    assert artifact.read_bytes() == before
    assert list(artifact.parent.iterdir()) == [artifact]


def test_errors_name_file_and_remedy(artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="missing"):
        open_artifact(tmp_path / "none.parquet", "frames")
    with pytest.raises(ArtifactError, match="is not a overlaps table"):
        open_artifact(artifact, "overlaps")
    artifact.write_bytes(artifact.read_bytes()[:100])
    with pytest.raises(ArtifactError, match="not readable"):
        open_artifact(artifact, "correspondences")


def test_other_schema_version(artifact: Path) -> None:
    table = pq.read_table(artifact)
    pq.write_table(table.replace_schema_metadata({"schema_version": "0"}), artifact)
    with pytest.raises(ArtifactError, match="schema version"):
        open_artifact(artifact, "correspondences")
