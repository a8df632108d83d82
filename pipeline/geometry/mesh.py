"""Triangle meshes and their PLY files (float coordinates, as ScanNet writes them)."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from pipeline.atomic import atomic_path


class MeshError(ValueError):
    """A mesh file that cannot be used; the text names the file and what is wrong."""


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh in world coordinates.

    Attributes:
        vertices: float32 (V, 3), metres, world.
        faces: int32 (F, 3), vertex indices.
        rgb: uint8 (V, 3), vertex colours.
        label: uint16 (V,), per-vertex label ids (NYU40 in ScanNet), or None.
    """

    vertices: Float32[np.ndarray, "v 3"]
    faces: Int32[np.ndarray, "f 3"]
    rgb: UInt8[np.ndarray, "v 3"]
    label: np.ndarray | None = None


#: PLY scalar types, in both of the spellings in use -> numpy type without byte order.
_SCALARS = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"},
}
_BYTE_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}
_COORDINATES = ("x", "y", "z")
_COLOURS = ("red", "green", "blue")
_INDICES = ("vertex_indices", "vertex_index")
#: No PLY header comes near this; what has no end_header by then is not a PLY file.
_HEADER_BYTES = 64 * 1024


@dataclass
class _Element:
    """One element of a PLY header: its rows have a fixed size, as faces are triangles."""

    name: str
    count: int
    fields: list[tuple]


def _read_header(file: BinaryIO, path: Path) -> list[_Element]:
    """Elements of the header; leaves `file` at the first data byte."""
    elements: list[_Element] = []
    order = None
    if file.readline(_HEADER_BYTES).rstrip() != b"ply":
        raise MeshError(f"{path}: not a PLY file (it does not start with `ply`)")
    while file.tell() < _HEADER_BYTES:
        words = file.readline(_HEADER_BYTES).decode("ascii", "replace").split()
        match words:
            case ["end_header"]:
                if order is None:
                    raise MeshError(f"{path}: the PLY header names no format")
                return elements
            case ["format", form, *_]:
                if form not in _BYTE_ORDERS:
                    raise MeshError(f"{path}: PLY format {form}; needed: a binary one")
                order = _BYTE_ORDERS[form]
            case ["element", name, count] if count.isdecimal():
                elements.append(_Element(name, int(count), []))
            case ["property", "list", length, item, name] if (
                elements and order and length in _SCALARS and item in _SCALARS
            ):
                fields = elements[-1].fields
                fields += [(f"{name} length", order + _SCALARS[length])]
                fields += [(name, order + _SCALARS[item], (3,))]
            case ["property", kind, name] if elements and order and kind in _SCALARS:
                elements[-1].fields.append((name, order + _SCALARS[kind]))
            case ["comment" | "obj_info", *_]:
                pass
            case _:
                raise MeshError(f"{path}: PLY header line not understood: {' '.join(words)!r}")
    raise MeshError(f"{path}: the PLY header has no end_header")


def _read_rows(file: BinaryIO, path: Path, element: _Element) -> np.ndarray:
    """Rows of one element as a structured array."""
    try:
        dtype = np.dtype(element.fields)
    except ValueError as error:
        raise MeshError(f"{path}: bad properties of element {element.name}: {error}") from error
    needed, left = element.count * dtype.itemsize, os.fstat(file.fileno()).st_size - file.tell()
    if left < needed:
        raise MeshError(
            f"{path}: truncated: {element.count} rows of {element.name} need {needed} bytes, "
            f"{left} are left"
        )
    return np.frombuffer(file.read(needed), dtype, element.count)


def read_ply(path: str | os.PathLike[str]) -> Mesh:
    """Read a binary triangle mesh with vertex colours and, if there are any, vertex labels.

    Args:
        path: PLY file, little or big endian, coordinates float or double, metres.

    Returns:
        The mesh; `label` is set if the vertices have a property of that name (ScanNet's
        `_vh_clean_2.labels.ply`).

    Raises:
        MeshError: missing, truncated, not binary PLY, polygons instead of triangles, no colours,
            or face indices out of range.

    Source: ScanNet's `_vh_clean_2.ply`; spec geometry_reference.md sections 1 and 2.
    """
    file_path = Path(path)
    try:
        with file_path.open("rb") as file:
            elements = _read_header(file, file_path)
            rows = {
                element.name: _read_rows(file, file_path, element)
                for element in elements[: 1 + _last_needed(elements)]
            }
    except OSError as error:
        raise MeshError(f"{file_path}: cannot be read: {error.strerror}") from error
    return _to_mesh(file_path, rows)


def _last_needed(elements: list[_Element]) -> int:
    """Index of the last of vertex and face: what follows may have any layout and is not read."""
    return max((i for i, e in enumerate(elements) if e.name in ("vertex", "face")), default=-1)


def _to_mesh(path: Path, rows: dict[str, np.ndarray]) -> Mesh:
    missing = sorted({"vertex", "face"} - set(rows))
    if missing:
        raise MeshError(f"{path}: no PLY element {' and no '.join(missing)}: not a triangle mesh")
    vertex, face = rows["vertex"], rows["face"]
    # A list in place of a number counts as missing, and the other way round.
    properties = [name for name in vertex.dtype.names or () if not vertex.dtype[name].shape]
    absent = [name for name in (*_COORDINATES, *_COLOURS) if name not in properties]
    if absent:
        raise MeshError(f"{path}: vertices have no property {', '.join(absent)}")
    lists = face.dtype.names or ()
    indices = next((name for name in _INDICES if f"{name} length" in lists), None)
    if indices is None:
        raise MeshError(f"{path}: faces have no list {' or '.join(_INDICES)}")
    if not (face[f"{indices} length"] == 3).all():
        raise MeshError(f"{path}: has faces that are no triangles; triangulate the mesh")
    if len(face) and not 0 <= face[indices].min() <= face[indices].max() < len(vertex):
        raise MeshError(f"{path}: faces name vertices beyond the {len(vertex)} there are")
    return Mesh(
        vertices=np.stack([vertex[name] for name in _COORDINATES], 1).astype(np.float32),
        faces=np.ascontiguousarray(face[indices], np.int32),
        rgb=np.stack([vertex[name] for name in _COLOURS], 1).astype(np.uint8),
        label=vertex["label"].astype(np.uint16) if "label" in properties else None,
    )


def write_ply(path: str | os.PathLike[str], mesh: Mesh) -> None:
    """Write a mesh atomically as ScanNet does: little endian, float xyz, uchar rgba, triangles.

    Args:
        path: Final file name.
        mesh: What is written; `label` becomes a ushort vertex property if it is set.

    Raises:
        WriteError: the folder cannot be written to, or the disk is full.

    Source: ScanNet's `_vh_clean_2.ply` and `_vh_clean_2.labels.ply`.
    """
    names = {"f4": "float", "u1": "uchar", "u2": "ushort"}
    fields = [(name, "<f4") for name in _COORDINATES]
    fields += [(name, "u1") for name in (*_COLOURS, "alpha")]
    if mesh.label is not None:
        fields.append(("label", "<u2"))
    vertex = np.empty(len(mesh.vertices), fields)
    for axis, name in enumerate(_COORDINATES):
        vertex[name] = mesh.vertices[:, axis]
    for channel, name in enumerate(_COLOURS):
        vertex[name] = mesh.rgb[:, channel]
    vertex["alpha"] = 255
    if mesh.label is not None:
        vertex["label"] = mesh.label
    face = np.empty(len(mesh.faces), [("length", "u1"), ("vertex_indices", "<i4", (3,))])
    face["length"], face["vertex_indices"] = 3, mesh.faces
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertex)}"]
    header += [f"property {names[kind[-2:]]} {name}" for name, kind in fields]
    header += [f"element face {len(face)}", "property list uchar int vertex_indices", "end_header"]
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(("\n".join(header) + "\n").encode("ascii"))
        # Not tofile: on a full disk it raises an error without a cause.
        file.write(vertex.tobytes())
        file.write(face.tobytes())
