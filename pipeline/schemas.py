"""Columns, units and meaning of every Parquet artifact; reading and atomic writing.

docs/artifacts.md is generated from this module (`python -m pipeline write-docs`).
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.atomic import atomic_path

SCHEMA_VERSION = 1


class ArtifactError(Exception):
    """An artifact that is missing, damaged or of another schema; names the file and the remedy."""


def _field(
    name: str, kind: pa.DataType, unit: str, meaning: str, nullable: bool = False
) -> pa.Field:
    return pa.field(name, kind, nullable, metadata={"unit": unit, "meaning": meaning})


_FRAME_FIELDS = [
    _field("frame_id", pa.int32(), "1", "index of the frame in the raw sequence"),
    _field("status", pa.string(), "1", "`ok`, or why the frame is skipped"),
    _field("reason", pa.string(), "1", "detail of the status; empty if ok"),
    _field("T_world_camera", pa.list_(pa.float64(), 16), "m", "camera-to-world, row major", True),
    _field(
        "K", pa.list_(pa.float64(), 9), "px", "intrinsics at the training size, row major", True
    ),
    _field("width", pa.int32(), "px", "training width"),
    _field("height", pa.int32(), "px", "training height"),
    _field("depth_valid_fraction", pa.float32(), "1", "share of raw pixels with depth"),
    _field("color", pa.binary(), "JPEG", "RGB at the training size, quality 95", True),
    _field(
        "depth",
        pa.binary(),
        "mm",
        "little-endian uint16, row major, at the training size; 0 invalid",
        True,
    ),
]

#: Kind -> schema. Field metadata: `unit` and `meaning`.
SCHEMAS: dict[str, pa.Schema] = {
    "frames": pa.schema(_FRAME_FIELDS),
    "labelled_frames": pa.schema(
        [
            *_FRAME_FIELDS,
            _field(
                "label",
                pa.binary(),
                "PNG",
                "uint8 classes 0..n-1 at the training size, 255 ignored; null without labels",
                True,
            ),
        ]
    ),
    "voxels": pa.schema(
        [
            _field("voxel_index", pa.int32(), "1", "0..M-1, row number; sorted by coordinates"),
            _field(
                "voxel_coords", pa.list_(pa.int32(), 3), "voxel", "floor((xyz - origin) / size)"
            ),
            _field("xyz_world", pa.list_(pa.float32(), 3), "m", "voxel centre, world"),
            _field("rgb", pa.list_(pa.uint8(), 3), "1", "mean colour of its vertices"),
            _field("n_vertices", pa.int32(), "1", "mesh vertices in the voxel"),
        ]
    ),
    "correspondences": pa.schema(
        [
            _field("frame_id", pa.int32(), "1", "frame of the pixel"),
            _field("pixel", pa.int32(), "1", "flat index v * width + u at the training size"),
            _field("voxel_index", pa.int32(), "1", "row of the voxels table"),
            _field(
                "distance_mm",
                pa.uint8(),
                "mm",
                "strict: pixel's 3D point to voxel centre; pri3d: difference along z",
            ),
        ]
    ),
    "segments": pa.schema(
        [
            _field("k", pa.float32(), "1", "threshold of the oversegmentation"),
            _field("element", pa.string(), "1", "`vertex` or `voxel`"),
            _field("vertex_index", pa.int32(), "1", "mesh vertex, or voxel_index for voxels"),
            _field("segment_id", pa.int32(), "1", "0..S-1 per k; -1 none"),
        ]
    ),
    "sets": pa.schema(
        [
            _field("frame_id", pa.int32(), "1", "frame the set is projected into"),
            _field("set_source", pa.string(), "1", "the k as text, or `labels`"),
            _field("set_id", pa.int32(), "1", "segment_id, or label class"),
            _field("n_pixels", pa.int32(), "px", "pixels of the set at the training size"),
        ]
    ),
    "overlaps": pa.schema(
        [
            _field("frame_a", pa.int32(), "1", "frame_a < frame_b"),
            _field("frame_b", pa.int32(), "1", ""),
            _field("overlap_ab", pa.float32(), "1", "share of b's points near a's surface"),
            _field("overlap_ba", pa.float32(), "1", "share of a's points near b's surface"),
            _field("overlap", pa.float32(), "1", "max of both (spec A.4); pairs at >= 0.30 train"),
        ]
    ),
}


def write_table(
    path: str | os.PathLike[str],
    kind: str,
    row_groups: Iterable[pa.Table | Mapping[str, object]],
    metadata: Mapping[str, str],
) -> None:
    """Write one artifact atomically, each item of `row_groups` as one row group.

    Args:
        path: Final file name.
        kind: Key of SCHEMAS.
        row_groups: Tables, or column name -> array (1D, or (N, d) for fixed-size lists). One
            frame per row group lets a reader fetch one frame.
        metadata: Provenance (params hash, reader, ...); the schema version is added.

    Raises:
        KeyError: unknown kind.
        pyarrow.ArrowInvalid: a column does not fit the schema.
    """
    schema = SCHEMAS[kind].with_metadata(
        {**metadata, "artifact": kind, "schema_version": str(SCHEMA_VERSION)}
    )
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd", compression_level=1) as writer,
    ):
        for group in row_groups:
            table = group if isinstance(group, pa.Table) else to_table(kind, group)
            writer.write_table(table.cast(schema), row_group_size=max(table.num_rows, 1))


def to_table(kind: str, columns: Mapping[str, object]) -> pa.Table:
    """Arrow table of the schema of `kind` from numpy arrays or lists."""
    arrays = []
    for field in SCHEMAS[kind]:
        values = columns[field.name]
        if pa.types.is_fixed_size_list(field.type) and getattr(values, "ndim", 0) == 2:
            flat = pa.array(values.reshape(-1), type=field.type.value_type)  # type: ignore[attr-defined]
            arrays.append(pa.FixedSizeListArray.from_arrays(flat, field.type.list_size))
        else:
            arrays.append(pa.array(values, type=field.type))
    return pa.Table.from_arrays(arrays, schema=SCHEMAS[kind])


def open_artifact(path: str | os.PathLike[str], kind: str) -> pq.ParquetFile:
    """Open an artifact and check its schema.

    Raises:
        ArtifactError: missing, unreadable, or of another kind or schema version.
    """
    file = Path(path)
    remedy = "delete it, then `snakemake --cores 2 all_artifacts` makes it again"
    try:
        parquet = pq.ParquetFile(file)
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{file}: missing; `snakemake --cores 2 all_artifacts` makes it"
        ) from error
    except (pa.ArrowInvalid, OSError) as error:
        raise ArtifactError(f"{file}: not readable as Parquet ({error}); {remedy}") from error
    stored = parquet.schema_arrow
    version = (stored.metadata or {}).get(b"schema_version", b"none").decode()
    if version != str(SCHEMA_VERSION) or not stored.equals(SCHEMAS[kind], check_metadata=False):
        raise ArtifactError(
            f"{file}: is not a {kind} table of schema version {SCHEMA_VERSION} "
            f"(its version: {version}); {remedy}"
        )
    return parquet


def read_table(path: str | os.PathLike[str], kind: str) -> pa.Table:
    """Read a whole artifact; see `open_artifact` for the errors."""
    return open_artifact(path, kind).read()


def row_group_index(parquet: pq.ParquetFile) -> dict[int, int]:
    """Frame id -> row group, for the kinds that hold one frame per row group."""
    index = {}
    for group in range(parquet.num_row_groups):
        statistics = parquet.metadata.row_group(group).column(0).statistics
        if statistics is not None and statistics.has_min_max:
            index[statistics.min] = group
    return index
