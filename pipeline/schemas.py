"""Columns, units and meaning of every Parquet artifact; reading and atomic writing.

docs/artifacts.md is generated from this module (`python -m pipeline write-docs`).
"""

import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.atomic import atomic_path

SCHEMA_VERSION = 2
#: zstd: level 3 is 4 % smaller than 1 for half a millisecond a frame.
_COMPRESSION_LEVEL = 3
#: Columns of few values. Elsewhere a dictionary only adds to the size.
_DICTIONARY_COLUMNS = {"status", "reason", "element", "set_source", "distance_mm", "n_vertices"}
#: Kind -> column -> encoding: differences where it ascends, split bytes where neighbours are alike.
_ENCODINGS = {
    "voxels": {"voxel_index": "DELTA_BINARY_PACKED", "rgb.list.element": "BYTE_STREAM_SPLIT"},
    "correspondences": {"pixel": "DELTA_BINARY_PACKED"},
    "segments": {"vertex_index": "DELTA_BINARY_PACKED"},
    "sets": {"pixels.list.element": "DELTA_BINARY_PACKED"},
    "overlaps": {"pixel_a.list.element": "DELTA_BINARY_PACKED"},
}

#: What reading a damaged Parquet file may raise.
PARQUET_ERRORS = (pa.ArrowException, ValueError, OSError)


class ArtifactError(Exception):
    """An artifact that is missing, damaged or of another schema; names the file and the remedy."""


def _field(
    name: str, kind: pa.DataType, unit: str, meaning: str, nullable: bool = False
) -> pa.Field:
    return pa.field(name, kind, nullable, metadata={"unit": unit, "meaning": meaning})


_FRAME_FIELDS = [
    _field("frame_id", pa.int32(), "1", "index of the frame in the raw sequence"),
    _field("status", pa.string(), "1", "`ok`, or why the frame is skipped"),
    _field("reason", pa.string(), "1", "detail of the status; of an ok frame a warning, or empty"),
    _field("T_world_camera", pa.list_(pa.float64(), 16), "m", "camera-to-world, row major", True),
    _field(
        "K", pa.list_(pa.float64(), 9), "px", "intrinsics at the training size, row major", True
    ),
    _field("width", pa.int32(), "px", "training width"),
    _field("height", pa.int32(), "px", "training height"),
    _field("depth_valid_fraction", pa.float32(), "1", "share of raw pixels with depth"),
    _field("color", pa.binary(), "JPEG", "RGB at the training size, quality 90", True),
    _field(
        "depth",
        pa.binary(),
        "mm",
        "little-endian uint16, row major, at the training size, 0 invalid; each value less the one "
        "before it, modulo 65536: np.cumsum(np.frombuffer(depth, '<u2'), dtype=np.uint16)",
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
            _field(
                "pixels",
                pa.list_(pa.field("element", pa.int32(), False)),
                "1",
                "flat pixels, ascending, of ray-cast sets; else null: join correspondences",
                True,
            ),
        ]
    ),
    "overlaps": pa.schema(
        [
            _field("frame_a", pa.int32(), "1", "frame_a < frame_b"),
            _field("frame_b", pa.int32(), "1", ""),
            _field("overlap_ab", pa.float32(), "1", "share of b's points near a's surface"),
            _field("overlap_ba", pa.float32(), "1", "share of a's points near b's surface"),
            _field("overlap", pa.float32(), "1", "max of both (spec A.4); pairs at >= 0.30 train"),
            *(
                _field(
                    f"pixel_{view}",
                    pa.list_(pa.field("element", pa.int32(), False)),
                    "1",
                    f"matched flat pixels of {view}, with overlaps.pixel_pairs_from; else null",
                    True,
                )
                for view in "ab"
            ),
        ]
    ),
}


#: A row group: a table, or column name -> array (1D, or (N, d) for fixed-size lists).
RowGroup = pa.Table | Mapping[str, object]


@contextmanager
def table_writer(
    path: str | os.PathLike[str], kind: str, metadata: Callable[[], Mapping[str, str]]
) -> Iterator[Callable[[RowGroup], None]]:
    """Write one artifact atomically, row group by row group.

    Args:
        path: Final file name.
        kind: Key of SCHEMAS.
        metadata: Gives the provenance (params hash, reader, ...) after the last row group: only
            then the inputs have been seen. The schema version is added.

    Yields:
        A function that writes one row group. One frame per row group lets a reader fetch one.

    Raises:
        KeyError: unknown kind.
        pyarrow.ArrowInvalid: a column does not fit the schema.
    """
    schema = SCHEMAS[kind].with_metadata({"artifact": kind, "schema_version": str(SCHEMA_VERSION)})
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(
            temporary,
            schema,
            compression="zstd",
            compression_level=_COMPRESSION_LEVEL,
            write_page_checksum=True,
            use_dictionary=list(_DICTIONARY_COLUMNS & set(schema.names)),
            column_encoding=_ENCODINGS.get(kind),
            write_statistics=schema.names[:1],
        ) as writer,
    ):

        def write(group: RowGroup) -> None:
            table = group.cast(schema) if isinstance(group, pa.Table) else to_table(kind, group)
            writer.write_table(table, row_group_size=max(table.num_rows, 1))

        yield write
        writer.add_key_value_metadata(dict(metadata()))


def write_table(
    path: str | os.PathLike[str],
    kind: str,
    row_groups: Iterable[RowGroup],
    metadata: Callable[[], Mapping[str, str]],
) -> None:
    """Write a whole artifact by `table_writer`."""
    with table_writer(path, kind, metadata) as write:
        for group in row_groups:
            write(group)


def to_table(kind: str, columns: Mapping[str, object]) -> pa.Table:
    """Arrow table of the schema of `kind` from arrays or lists; null where one is left out.

    Raises:
        KeyError: a column that must not be null is left out.
        pyarrow.ArrowInvalid: a column does not fit the schema.
    """
    arrays = []
    n_rows = len(columns[SCHEMAS[kind].names[0]])  # type: ignore[arg-type]
    for field in SCHEMAS[kind]:
        if field.nullable and field.name not in columns:
            arrays.append(pa.nulls(n_rows, field.type))
            continue
        values = columns[field.name]
        if pa.types.is_fixed_size_list(field.type) and getattr(values, "ndim", 0) == 2:
            flat = pa.array(values.reshape(-1), type=field.type.value_type)  # type: ignore[attr-defined]
            arrays.append(pa.FixedSizeListArray.from_arrays(flat, field.type.list_size))
        elif isinstance(values, pa.Array):
            arrays.append(values)
        else:
            arrays.append(pa.array(values, type=field.type))
    return pa.Table.from_arrays(arrays, schema=SCHEMAS[kind])


class Artifact(pq.ParquetFile):
    """A Parquet file whose pages are compared with their checksums as they are read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, page_checksum_verification=True)
        self._path = path

    def read(self, *args: Any, **options: Any) -> pa.Table:
        """All rows; ArtifactError if they are damaged."""
        with _named_damage(self._path, ""):
            return super().read(*args, **options)

    def read_row_group(self, i: int, *args: Any, **options: Any) -> pa.Table:
        """One row group; ArtifactError if it is damaged."""
        with _named_damage(self._path, f"row group {i} "):
            return super().read_row_group(i, *args, **options)


@contextmanager
def _named_damage(file: Path, part: str) -> Iterator[None]:
    try:
        yield
    except PARQUET_ERRORS as error:
        raise ArtifactError(f"{file}: {part}cannot be read ({error}); {remedy(file)}") from error


def remedy(file: Path) -> str:
    """How a damaged artifact is made again; what is made from it changes only if its bytes do."""
    return f"`rm {shlex.quote(str(file))} && snakemake --cores 2 all_artifacts` makes it again"


def open_artifact(path: str | os.PathLike[str], kind: str) -> Artifact:
    """Open an artifact and check its schema.

    Args:
        path: The file.
        kind: Key of SCHEMAS.

    Raises:
        ArtifactError: missing, unreadable, or of another kind or schema version.
    """
    file = Path(path)
    try:
        parquet = Artifact(file)
        stored = parquet.schema_arrow
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{file}: missing; `snakemake --cores 2 all_artifacts` makes it"
        ) from error
    except PARQUET_ERRORS as error:
        raise ArtifactError(f"{file}: not readable as Parquet ({error}); {remedy(file)}") from error
    version = stored_metadata(parquet).get("schema_version", "none")
    if version != str(SCHEMA_VERSION) or not stored.equals(SCHEMAS[kind], check_metadata=False):
        raise ArtifactError(
            f"{file}: is not a {kind} table of schema version {SCHEMA_VERSION} "
            f"(its version: {version}); {remedy(file)}"
        )
    return parquet


def read_table(path: str | os.PathLike[str], kind: str) -> pa.Table:
    """Read a whole artifact; see `open_artifact` for the errors."""
    return open_artifact(path, kind).read()


def stored_metadata(parquet: pq.ParquetFile) -> dict[str, str]:
    """Provenance and settings of an artifact.

    They are the file's: those that came with the last row group are not in `schema_arrow`.
    """
    stored = parquet.metadata.metadata or {}
    texts = {key: value for key, value in stored.items() if key != b"ARROW:schema"}
    # Damaged text is for `validate` to compare, not a reason to stop.
    return {
        key.decode(errors="replace"): text.decode(errors="replace") for key, text in texts.items()
    }


def row_group_index(parquet: pq.ParquetFile) -> dict[int, int]:
    """Frame id -> row group, for the kinds that hold one frame per row group."""
    index = {}
    for group in range(parquet.num_row_groups):
        statistics = parquet.metadata.row_group(group).column(0).statistics
        if statistics is not None and statistics.has_min_max:
            index[statistics.min] = group
    return index
