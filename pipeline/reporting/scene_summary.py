"""What a scene's artifacts hold, in a terminal: rows, columns, units, ranges, skipped frames."""

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
from pipeline.schemas import open_artifact


def readable_size(n_bytes: int | float) -> str:
    """ "532 B", "1.4 kB", "23.0 MB"."""
    for unit in ("B", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} B" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"


def readable_type(kind: pa.DataType) -> str:
    """ "int32", "float64[16]" for a fixed-size list."""
    if pa.types.is_fixed_size_list(kind):
        return f"{kind.value_type}[{kind.list_size}]"
    return str(kind)


def describe_column(column: pa.ChunkedArray) -> str:
    """Range of numbers, mean size of bytes, counts of text; nulls are counted apart."""
    kind = column.type
    present = column.drop_null()
    nulls = f", {column.null_count} null" if column.null_count else ""
    if not len(present):
        return f"empty{nulls}"
    if pa.types.is_binary(kind):
        return f"mean {readable_size(pc.mean(pc.binary_length(present)).as_py())}{nulls}"
    if pa.types.is_string(kind):
        counts = Counter(present.to_pylist()).most_common(4)
        return ", ".join(f"{value or '(empty)'} x {n}" for value, n in counts) + nulls
    values = present.combine_chunks()
    if pa.types.is_fixed_size_list(kind):
        values = values.flatten()
    limits = pc.min_max(values)
    low, high = (limits[name].as_py() for name in ("min", "max"))
    return (
        f"{low:.4g} ... {high:.4g}{nulls}" if isinstance(low, float) else f"{low} ... {high}{nulls}"
    )


def _frames_notes(table: pa.Table) -> list[str]:
    statuses = Counter(table["status"].to_pylist())
    notes = [f"{statuses['ok']} of {table.num_rows} frames are usable"]
    for row in table.select(["frame_id", "status", "reason"]).to_pylist():
        if row["status"] != "ok":
            notes.append(f"frame {row['frame_id']} skipped, {row['status']}: {row['reason']}")
    return notes


def _labelled_notes(table: pa.Table) -> list[str]:
    labels = table.num_rows - table["label"].null_count
    return [*_frames_notes(table), f"{labels} frames have labels"]


def _correspondences_notes(table: pa.Table) -> list[str]:
    frames = table["frame_id"].to_numpy()
    if not len(frames):
        return ["no matches"]
    per_frame = np.unique(frames, return_counts=True)[1]
    distance = table["distance_mm"].to_numpy()
    return [
        f"matches per frame: {per_frame.min()} ... {per_frame.max()}, median "
        f"{np.median(per_frame):.0f}, in {len(per_frame)} frames",
        f"distance: median {np.median(distance):.0f} mm, 95 % within "
        f"{np.percentile(distance, 95):.0f} mm",
    ]


def _segments_notes(table: pa.Table) -> list[str]:
    counts = table.group_by(["k", "element"]).aggregate([("segment_id", "count_distinct")])
    return [
        f"k {row['k']:g}, {row['element']}: {row['segment_id_count_distinct']} segments"
        for row in sorted(counts.to_pylist(), key=lambda row: (row["element"], row["k"]))
    ]


def _sets_notes(table: pa.Table) -> list[str]:
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


def _overlaps_notes(table: pa.Table, min_overlap: float) -> list[str]:
    overlap = table["overlap"].to_numpy()
    kept = int((overlap >= np.float32(min_overlap)).sum())
    share = f" ({100 * kept / len(overlap):.0f} %)" if len(overlap) else ""
    return [f"{kept} of {len(overlap)} frame pairs{share} overlap by at least {min_overlap:g}"]


def table_notes(kind: str, table: pa.Table, min_overlap: float) -> list[str]:
    """Sentences on what matters in a table of this kind.

    Args:
        kind: Key of schemas.SCHEMAS.
        table: The table.
        min_overlap: Smallest overlap of a frame pair that is trained on.
    """
    if kind == "overlaps":
        return _overlaps_notes(table, min_overlap)
    notes = {
        "frames": _frames_notes,
        "labelled_frames": _labelled_notes,
        "correspondences": _correspondences_notes,
        "segments": _segments_notes,
        "sets": _sets_notes,
    }.get(kind)
    return notes(table) if notes is not None else []


def _provenance(schema: pa.Schema) -> str:
    stored = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    stored.pop("artifact", None)
    return "made with: " + ", ".join(f"{key} {value}" for key, value in sorted(stored.items()))


def _column_table(table: pa.Table) -> Table:
    result = Table(header_style="dim", box=SIMPLE)
    for name in ("column", "type", "unit", "values"):
        result.add_column(name, overflow="fold")
    for field, column in zip(table.schema, table.columns, strict=True):
        unit = field.metadata[b"unit"].decode()
        result.add_row(field.name, readable_type(field.type), unit, describe_column(column))
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
        parquet: pq.ParquetFile = open_artifact(file, kind)
        table = parquet.read()
        title = (
            f"{kind}: {table.num_rows} rows in {parquet.num_row_groups} row groups, "
            f"{readable_size(file.stat().st_size)}"
        )
        console.print(title, style="bold", highlight=False)
        if table.num_rows:
            console.print(_column_table(table))
        for note in [*table_notes(kind, table, min_overlap), _provenance(table.schema)]:
            console.print(f"  {note}", highlight=False, markup=False)
        console.print()
