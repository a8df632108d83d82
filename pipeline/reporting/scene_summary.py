"""What a scene's artifacts hold, in a terminal: rows, columns, units, ranges, skipped frames.

Columns are read row group by row group: memory does not grow with the length of a scene.
"""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from pipeline import layout
from pipeline.schemas import open_artifact, stored_metadata

#: So many frames or texts of a kind are named; the others are counted.
MAX_NAMED = 5


def readable_size(n_bytes: int | float) -> str:
    """ "532 B", "1.4 kB", "23.0 MB"."""
    for unit in ("B", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} B" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"


def readable_type(kind: pa.DataType) -> str:
    """ "int32", "int32[]" for a list, "float64[16]" for one of fixed size."""
    if pa.types.is_fixed_size_list(kind):
        return f"{kind.value_type}[{kind.list_size}]"
    if pa.types.is_list(kind):
        return f"{kind.value_type}[]"
    return str(kind)


def _counts(counts: Counter[str]) -> str:
    if len(counts) > MAX_NAMED:
        return f"{len(counts)} different texts"
    return ", ".join(f"{value or '(empty)'} x {n}" for value, n in counts.most_common())


def _limits(column: pa.ChunkedArray) -> tuple[int | float, int | float] | None:
    """Smallest and largest number in a column of numbers or of lists of numbers; None if empty."""
    values = column.combine_chunks()
    while pa.types.is_nested(values.type):
        values = values.flatten()
    limits = pc.min_max(values)
    return (limits["min"].as_py(), limits["max"].as_py()) if len(values) else None


def describe_column(parquet: pq.ParquetFile, field: pa.Field) -> str:
    """Range of numbers, mean size of bytes, counts of texts; nulls are counted apart."""
    n_null, n_items, n_bytes = 0, 0, 0
    texts: Counter[str] = Counter()
    limits = []
    for group in range(parquet.num_row_groups):
        column = parquet.read_row_group(group, columns=[field.name]).column(0)
        n_null += column.null_count
        column = column.drop_null()
        if pa.types.is_string(field.type):
            texts.update(column.to_pylist())
        elif pa.types.is_binary(field.type):
            n_bytes += pc.sum(pc.binary_length(column)).as_py() or 0
        elif (found := _limits(column)) is not None:
            limits.append(found)
        if pa.types.is_list(field.type):
            n_items += pc.sum(pc.list_value_length(column)).as_py() or 0
    nulls = f", {n_null} null" if n_null else ""
    n_present = parquet.metadata.num_rows - n_null
    if texts:
        return _counts(texts) + nulls
    if n_bytes:
        return f"mean {readable_size(n_bytes / n_present)}{nulls}"
    if not limits:
        return f"empty{nulls}"
    if n_items:
        nulls = f", {n_items / n_present:.0f} a row{nulls}"
    low, high = min(low for low, _ in limits), max(high for _, high in limits)
    return (
        f"{low:.4g} ... {high:.4g}{nulls}" if isinstance(low, float) else f"{low} ... {high}{nulls}"
    )


def _capped(lines: list[str]) -> list[str]:
    hidden = len(lines) - MAX_NAMED
    return [*lines[:MAX_NAMED], f"  ... and {hidden} more"] if hidden > 0 else lines


def _frames_notes(parquet: pq.ParquetFile) -> list[str]:
    rows = parquet.read(columns=["frame_id", "status", "reason"]).to_pylist()
    usable = [row for row in rows if row["status"] == "ok"]
    skipped = [row for row in rows if row["status"] != "ok"]
    warned = [row for row in usable if row["reason"]]
    notes = [f"{len(usable)} of {len(rows)} frames are usable"]
    if skipped:
        notes.append(
            f"{len(skipped)} are skipped: {_counts(Counter(row['status'] for row in skipped))}"
        )
        notes += _capped(
            [f"  frame {row['frame_id']}, {row['status']}: {row['reason']}" for row in skipped]
        )
    if warned:
        notes.append(f"{len(warned)} are used with a warning:")
        notes += _capped([f"  frame {row['frame_id']}: {row['reason']}" for row in warned])
    return notes


def _labelled_notes(parquet: pq.ParquetFile) -> list[str]:
    label = parquet.read(columns=["label"])["label"]
    return [*_frames_notes(parquet), f"{len(label) - label.null_count} frames have labels"]


def _correspondences_notes(parquet: pq.ParquetFile) -> list[str]:
    if not parquet.metadata.num_rows:
        return ["no matches"]
    per_frame = [parquet.metadata.row_group(i).num_rows for i in range(parquet.num_row_groups)]
    distance = parquet.read(columns=["distance_mm"])["distance_mm"].to_numpy()
    return [
        f"matches per frame: {min(per_frame)} ... {max(per_frame)}, median "
        f"{np.median(per_frame):.0f}, in {len(per_frame)} frames",
        f"distance: median {np.median(distance):.0f} mm, 95 % within "
        f"{np.percentile(distance, 95):.0f} mm",
    ]


def _segments_notes(parquet: pq.ParquetFile) -> list[str]:
    table = parquet.read(columns=["k", "element", "segment_id"])
    counts = (
        table.filter(pc.greater_equal(table["segment_id"], 0))
        .group_by(["k", "element"])
        .aggregate([("segment_id", "count_distinct")])
    )
    return [
        f"k {row['k']:g}, {row['element']}: {row['segment_id_count_distinct']} segments"
        for row in sorted(counts.to_pylist(), key=lambda row: (row["element"], row["k"]))
    ]


def _sets_notes(parquet: pq.ParquetFile) -> list[str]:
    table = parquet.read(columns=["frame_id", "set_source", "n_pixels"])
    notes = []
    for source in pc.unique(table["set_source"]).to_pylist():
        chosen = table.filter(pc.equal(table["set_source"], source))
        per_frame = np.unique(chosen["frame_id"].to_numpy(), return_counts=True)[1]
        pixels = chosen["n_pixels"].to_numpy()
        notes.append(
            f"source {source}: {np.median(per_frame):.0f} sets in the median frame, "
            f"{np.median(pixels):.0f} pixels in the median set"
        )
    return notes


def _overlaps_notes(parquet: pq.ParquetFile, min_overlap: float) -> list[str]:
    overlap = parquet.read(columns=["overlap"])["overlap"].to_numpy()
    kept = int((overlap >= np.float32(min_overlap)).sum())
    share = f" ({100 * kept / len(overlap):.0f} %)" if len(overlap) else ""
    return [f"{kept} of {len(overlap)} frame pairs{share} overlap by at least {min_overlap:g}"]


def table_notes(kind: str, parquet: pq.ParquetFile, min_overlap: float) -> list[str]:
    """Sentences on what matters in a table of this kind.

    Args:
        kind: Key of schemas.SCHEMAS.
        parquet: The table.
        min_overlap: Smallest overlap of a frame pair that is trained on.
    """
    if kind == "overlaps":
        return _overlaps_notes(parquet, min_overlap)
    notes = {
        "frames": _frames_notes,
        "labelled_frames": _labelled_notes,
        "correspondences": _correspondences_notes,
        "segments": _segments_notes,
        "sets": _sets_notes,
    }.get(kind)
    return notes(parquet) if notes is not None else []


def _provenance(parquet: pq.ParquetFile) -> str:
    stored = sorted(stored_metadata(parquet).items())
    return "made with: " + ", ".join(f"{key} {text}" for key, text in stored if key != "artifact")


def _column_table(parquet: pq.ParquetFile) -> Table:
    result = Table(header_style="dim", box=SIMPLE)
    for name in ("column", "type", "unit", "values"):
        result.add_column(name, overflow="fold")
    for field in parquet.schema_arrow:
        unit = field.metadata[b"unit"].decode()
        result.add_row(field.name, readable_type(field.type), unit, describe_column(parquet, field))
    return result


def print_summary(console: Console, artifacts: Path, scene: str, min_overlap: float) -> None:
    """Print every table of a scene; a missing one is named.

    Args:
        console: Where to print.
        artifacts: Folder of all scenes' artifacts.
        scene: Scene name.
        min_overlap: Smallest overlap of a frame pair that is trained on.

    Raises:
        ArtifactError: a table is damaged or of another schema.
    """
    for kind in layout.ARTIFACT_KINDS:
        file = layout.artifact(artifacts, scene, kind)
        if not file.is_file():
            console.print(f"[bold]{kind}[/bold]: not made\n")
            continue
        parquet = open_artifact(file, kind)
        title = (
            f"{kind}: {parquet.metadata.num_rows} rows in {parquet.num_row_groups} row groups, "
            f"{readable_size(file.stat().st_size)}"
        )
        console.print(title, style="bold", highlight=False)
        if parquet.metadata.num_rows:
            console.print(_column_table(parquet))
        for note in [*table_notes(kind, parquet, min_overlap), _provenance(parquet)]:
            console.print(f"  {note}", highlight=False, markup=False)
        console.print()
