"""PLY files: round trips, foreign layouts written by hand and by Open3D, and damage."""

import struct

import numpy as np
import pytest

from pipeline.geometry.mesh import Mesh, MeshError, read_ply, write_ply


def random_mesh(n_vertices: int, n_faces: int, labelled: bool) -> Mesh:
    rng = np.random.default_rng(n_vertices)
    return Mesh(
        rng.normal(size=(n_vertices, 3)).astype(np.float32),
        rng.integers(0, max(n_vertices, 1), (n_faces, 3)).astype(np.int32),
        rng.integers(0, 256, (n_vertices, 3)).astype(np.uint8),
        rng.integers(0, 65536, n_vertices).astype(np.uint16) if labelled else None,
    )


def assert_equal(mesh: Mesh, expected: Mesh) -> None:
    for name in ("vertices", "faces", "rgb", "label"):
        np.testing.assert_array_equal(getattr(mesh, name), getattr(expected, name))


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize(("n_vertices", "n_faces"), [(50, 80), (3, 0), (0, 0)])
def test_round_trip(tmp_path, n_vertices, n_faces, labelled):
    mesh = random_mesh(n_vertices, n_faces, labelled)
    write_ply(tmp_path / "new" / "m.ply", mesh)
    assert_equal(read_ply(tmp_path / "new" / "m.ply"), mesh)


def test_header_is_that_of_scannet(tmp_path):
    write_ply(tmp_path / "m.ply", random_mesh(5, 2, labelled=True))
    data = (tmp_path / "m.ply").read_bytes()
    header, body = data.split(b"end_header\n", 1)
    assert header.decode().splitlines() == [
        *("ply", "format binary_little_endian 1.0", "element vertex 5"),
        *("property float x", "property float y", "property float z"),
        *("property uchar red", "property uchar green", "property uchar blue"),
        *("property uchar alpha", "property ushort label"),
        *("element face 2", "property list uchar int vertex_indices"),
    ]
    assert len(body) == 5 * (12 + 4 + 2) + 2 * 13


def test_open3d_reads_and_writes_it(tmp_path):
    import open3d as o3d

    mesh = random_mesh(20, 30, labelled=False)
    write_ply(tmp_path / "m.ply", mesh)
    read = o3d.io.read_triangle_mesh(str(tmp_path / "m.ply"))
    np.testing.assert_array_equal(np.asarray(read.triangles), mesh.faces)
    np.testing.assert_allclose(np.asarray(read.vertex_colors) * 255, mesh.rgb, atol=1e-4)
    o3d.io.write_triangle_mesh(str(tmp_path / "double.ply"), read)  # coordinates as double
    assert_equal(read_ply(tmp_path / "double.ply"), mesh)


def foreign(order: str = ">", corners: tuple = (3, 0, 1, 2), colours: bool = True) -> bytes:
    """Big or little endian, double coordinates, extra properties and elements."""
    form = "big" if order == ">" else "little"
    colour_lines = [f"property uint8 {name}" for name in ("red", "green", "blue")] * colours
    header = [
        *("ply", f"format binary_{form}_endian 1.0", "comment made by hand", "element camera 1"),
        *("property int id", "element vertex 3", "property float64 x", "property float nx"),
        *("property double y", "property double z", *colour_lines),
        *("element face 1", "property list uint8 uint32 vertex_index", "property short flags"),
        *("element edge 1", "property list uchar int anything", "end_header\n"),
    ]
    out = "\n".join(header).encode() + struct.pack(order + "i", 7)
    for i in range(3):
        out += struct.pack(order + "dfdd", i, -1, 2 * i, 3 * i)
        out += bytes([i, 10, 20]) * colours
    return out + struct.pack(f"{order}B{len(corners) - 1}Ih", *corners, 5) + bytes([1, 0, 0, 0, 0])


@pytest.mark.parametrize("order", ["<", ">"])
def test_foreign_layouts(tmp_path, order):
    (tmp_path / "m.ply").write_bytes(foreign(order))
    mesh = read_ply(tmp_path / "m.ply")
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 2, 3], [2, 4, 6]]
    assert mesh.rgb.tolist() == [[0, 10, 20], [1, 10, 20], [2, 10, 20]]
    assert mesh.faces.tolist() == [[0, 1, 2]]
    assert mesh.label is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a PLY file"),
        (b"solid stl", "not a PLY file"),
        (b"ply\nformat ascii 1.0\nend_header\n", "ascii"),
        (b"ply\nend_header\n", "names no format"),
        (b"ply\nformat binary_little_endian 1.0\n", "not understood: ''"),
        (b"ply\nformat binary_little_endian 1.0\nproperty int x\n", "property int x"),
        (b"ply\nformat binary_little_endian 1.0\nelement vertex -1\n", "element vertex -1"),
        (b"ply\nformat binary_little_endian 1.0\nend_header\n", "no PLY element face"),
        (b"ply\n" + b"comment x\n" * 10_000, "no end_header"),
        (foreign(colours=False), "no property red, green, blue"),
        (foreign(corners=(4, 0, 1, 2, 0)), "no triangles"),
        (foreign(corners=(3, 0, 1, 3)), "beyond the 3"),
        (foreign().replace(b"vertex 3", b"vertex 999999999999"), "truncated"),
        (foreign().replace(b"float64 x", b"float64 y"), "bad properties"),
        (foreign().replace(b"list uint8 uint32 vertex_index", b"int vertex_index"), "no list"),
        (
            foreign().replace(b"3\nproperty float64 x", b"0\nproperty list uchar double x"),
            "no property x",
        ),
    ],
)
def test_refused(tmp_path, data, message):
    path = tmp_path / "m.ply"
    path.write_bytes(data)
    with pytest.raises(MeshError, match=message) as error:
        read_ply(path)
    assert str(path) in str(error.value)


def test_truncated_anywhere(tmp_path):
    write_ply(tmp_path / "m.ply", random_mesh(4, 3, labelled=True))
    data = (tmp_path / "m.ply").read_bytes()
    for cut in range(len(data)):
        (tmp_path / "m.ply").write_bytes(data[:cut])
        with pytest.raises(MeshError):
            read_ply(tmp_path / "m.ply")


def test_missing(tmp_path):
    with pytest.raises(MeshError, match="No such file"):
        read_ply(tmp_path / "none.ply")
