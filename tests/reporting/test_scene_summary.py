"""Summaries that read row group by row group, against the whole columns."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from pipeline import layout
from pipeline.reporting.scene_summary import (
    MAX_NAMED,
    describe_column,
    print_summary,
    readable_type,
    table_notes,
)
from pipeline.schemas import SCHEMAS, open_artifact, write_table
from tests.reporting.conftest import SCENE


def frame_row(frame_id: int, status: str, reason: str) -> dict[str, list[object]]:
    return {
        "frame_id": [frame_id],
        "status": [status],
        "reason": [reason],
        "width": [64],
        "height": [48],
        "depth_valid_fraction": [0.0],
    }


def test_many_skipped_frames_are_counted(tmp_path: Path) -> None:
    rows = [frame_row(i, "no_pose", f"line {i} is -inf") for i in range(40)]
    rows += [frame_row(i, "ok", "rotation is off by 0.03") for i in range(40, 47)]
    rows += [frame_row(47, "ok", "")]
    write_table(layout.artifact(tmp_path, "s", "frames"), "frames", rows, dict)
    console = Console(record=True, width=120, file=open("/dev/null", "w"))  # noqa: SIM115
    print_summary(console, tmp_path, "s", 0.3)
    printed = console.export_text()
    assert "8 of 48 frames are usable" in printed
    assert "40 are skipped: no_pose x 40" in printed
    assert f"... and {40 - MAX_NAMED} more" in printed
    assert "7 are used with a warning:" in printed
    assert f"... and {7 - MAX_NAMED} more" in printed
    assert "41 different texts" not in printed
    assert "42 different texts" in printed
    assert len(printed.splitlines()) < 50


@pytest.mark.parametrize("kind", layout.ARTIFACT_KINDS)
def test_ranges_are_those_of_the_columns(kind: str, repository_of_raw_room: Path) -> None:
    artifacts = repository_of_raw_room / layout.artifacts_dir("rooms")
    parquet = open_artifact(layout.artifact(artifacts, SCENE, kind), kind)
    table = parquet.read()
    for field in SCHEMAS[kind]:
        text = describe_column(parquet, field)
        values = table[field.name].drop_null()
        nulls = table[field.name].null_count
        assert (f"{nulls} null" in text) == (nulls > 0)
        if pa.types.is_string(field.type) or pa.types.is_binary(field.type):
            continue
        while pa.types.is_nested(values.type):
            values = values.combine_chunks().flatten()
        if not len(values):
            assert text.startswith("empty")
            continue
        numbers = values.to_numpy()
        low, high = (float(part) for part in text.split(",")[0].split(" ... "))
        np.testing.assert_allclose([low, high], [numbers.min(), numbers.max()], rtol=1e-3)


def test_segments_of_voxels_are_those_that_occur(tmp_path: Path) -> None:
    columns = {
        "k": np.full(4, 0.01, np.float32),
        "element": ["voxel"] * 4,
        "vertex_index": np.arange(4, dtype=np.int32),
        "segment_id": np.array([7, 7, -1, 2], np.int32),
    }
    file = layout.artifact(tmp_path, "s", "segments")
    write_table(file, "segments", [columns], dict)
    assert table_notes("segments", open_artifact(file, "segments"), 0.3) == [
        "k 0.01, voxel: 2 segments"
    ]


def test_readable_types() -> None:
    assert readable_type(pa.list_(pa.float64(), 16)) == "double[16]"
    assert readable_type(pa.list_(pa.int32())) == "int32[]"
