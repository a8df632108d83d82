import numpy as np
import pytest

from pipeline.geometry.oversegmentation import _stable_order, oversegment, oversegment_all

F32 = np.float32


def slow_oversegment(
    vertices: np.ndarray, faces: np.ndarray, k: float, min_vertices: int
) -> list[int]:
    """The text of geometry_reference.md section 1, word by word; a set of vertices per segment."""
    normals = np.zeros_like(vertices)
    counts = [0] * len(vertices)
    edges = []
    for a, b, c in faces:
        x, y = vertices[b] - vertices[a], vertices[c] - vertices[a]
        cross = np.array(
            [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]]
        )
        with np.errstate(invalid="ignore"):
            cross = cross / np.sqrt(cross[0] * cross[0] + cross[1] * cross[1] + cross[2] * cross[2])
        for vertex in (a, b, c):
            share = F32(1) / (F32(counts[vertex]) + F32(1))
            normals[vertex] = share * cross + (F32(1) - share) * normals[vertex]
        for vertex in (a, b, c):
            counts[vertex] += 1
        edges += [(a, b), (a, c), (c, b)]
    weights = []
    for a, b in edges:
        d = vertices[b] - vertices[a]
        with np.errstate(invalid="ignore"):
            d = d / np.sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2])
        m, n = normals[a], normals[b]
        w = F32(1) - (m[0] * n[0] + m[1] * n[1] + m[2] * n[2])
        weights.append(w * w if n[0] * d[0] + n[1] * d[1] + n[2] * d[2] > 0 else w)
    order = sorted(range(len(edges)), key=lambda e: (np.isnan(weights[e]), weights[e], e))

    segment = [{vertex} for vertex in range(len(vertices))]
    threshold = {id(members): F32(k) for members in segment}

    def join(a: set, b: set) -> set:
        a |= b
        for vertex in b:
            segment[vertex] = a
        return a

    for e in order:
        a, b = (segment[vertex] for vertex in edges[e])
        if a is not b and weights[e] <= threshold[id(a)] and weights[e] <= threshold[id(b)]:
            joined = join(a, b)
            threshold[id(joined)] = weights[e] + F32(k) / F32(len(joined))
    for e in order:
        a, b = (segment[vertex] for vertex in edges[e])
        if a is not b and (len(a) < min_vertices or len(b) < min_vertices):
            join(a, b)
    number: dict[int, int] = {}
    return [number.setdefault(id(members), len(number)) for members in segment]


def grid(n: int, m: int, height) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[no-untyped-def]
    """Mesh of n x m vertices 2 cm apart; height(x, y) in metres."""
    x, y = np.meshgrid(np.arange(n) * 0.02, np.arange(m) * 0.02, indexing="ij")
    vertices = np.stack([x, y, height(x, y)], axis=-1).reshape(-1, 3).astype(np.float32)
    index = np.arange(n * m).reshape(n, m)
    corners = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    a, b, c, d = (corner.reshape(-1) for corner in corners)
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)
    return vertices, faces


def bumpy(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    vertices, faces = grid(
        18, 14, lambda x, y: np.abs(x - 0.15) + 0.01 * np.sin(y * 60) + rng.normal(0, 2e-3, x.shape)
    )
    return vertices, faces[rng.permutation(len(faces))]


@pytest.mark.parametrize("k", [1e-5, 0.01, 0.05, 5.0])
@pytest.mark.parametrize("min_vertices", [1, 20, 100])
def test_equals_the_slow_reference(k: float, min_vertices: int) -> None:
    for seed in range(2):
        vertices, faces = bumpy(seed)
        found = oversegment(vertices, faces, k, min_vertices)
        assert found.tolist() == slow_oversegment(vertices, faces, k, min_vertices)


def test_equals_the_slow_reference_with_degenerate_faces() -> None:
    """Zero-area faces, coinciding vertices, a repeated face and a repeated index."""
    vertices, faces = bumpy(3)
    vertices[40] = vertices[41]
    faces = np.concatenate([faces, faces[:5], [[3, 3, 7], [9, 9, 9], [100, 101, 100]]])
    found = oversegment(vertices, faces.astype(np.int32), 0.02, 5)
    assert found.tolist() == slow_oversegment(vertices, faces, 0.02, 5)


def ridge(degrees: float, convex: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Two planes that meet along a line, at an angle between their normals of `degrees`."""
    slope = np.tan(np.radians(degrees / 2))
    return grid(20, 20, lambda x, y: (-1 if convex else 1) * np.abs(x - 0.2) * slope)


@pytest.mark.parametrize("convex", [False, True])
def test_which_k_joins_two_planes_at_an_angle(convex: bool) -> None:
    """Two planes whose normals are 40 degrees apart, crossed along x from the left.

    Inside the left plane w = 0, so its 200 vertices have the threshold k / 200. Of the vertices on
    the crease the one at the end of the line is nearest to it: two of its three faces are of the
    left plane, n = (2 n_left + n_right) / 3, so w = 1 - n . n_left = (1 - cos 40) / 3, squared if
    the edge rises towards n (convex).
    """
    weight = (1 - np.cos(np.radians(40))) / 3
    joins_at = 200 * (weight**2 if convex else weight)
    vertices, faces = ridge(40, convex)
    left, crease = vertices[:, 0] < 0.19, np.abs(vertices[:, 0] - 0.2) < 1e-3
    for factor, joined in ((0.99, False), (1.01, True)):
        found = oversegment(vertices, faces, joins_at * factor, 1)
        assert len(set(found[left])) == 1
        assert (found[0] in found[crease]) == joined


def test_below_the_weight_every_vertex_of_a_crease_is_alone() -> None:
    vertices, faces = ridge(40)
    found = oversegment(vertices, faces, 0.01, 1)
    left, right = found[vertices[:, 0] < 0.19], found[vertices[:, 0] > 0.21]
    assert len(set(left)) == len(set(right)) == 1
    assert left[0] != right[0]
    assert len(set(found)) == 2 + 20


def test_small_segments_are_joined_but_disconnected_pieces_stay() -> None:
    vertices, faces = grid(10, 10, lambda x, y: 0 * x)
    piece, piece_faces = grid(2, 2, lambda x, y: 0 * x)
    vertices = np.concatenate([vertices, piece + np.float32(5), [[9, 9, 9]]]).astype(np.float32)
    faces = np.concatenate([faces, piece_faces + 100]).astype(np.int32)
    found = oversegment(vertices, faces, 0.01, 20)
    assert set(found[:100]) == {0}
    assert set(found[100:104]) == {1}
    assert found[104] == 2  # a vertex of no face


def test_min_vertices_is_strict() -> None:
    """At a tiny k every crease vertex is alone; pieces of exactly min_vertices stay."""
    vertices, faces = ridge(40)
    planes = oversegment(vertices, faces, 0.01, 20)
    assert (np.bincount(planes) >= 20).all()
    # The larger plane takes part in joins only with neighbours below 20, never with the other.
    assert planes[0] != planes[-1]


def test_empty_meshes() -> None:
    no_vertices, no_faces = np.empty((0, 3), np.float32), np.empty((0, 3), np.int32)
    assert oversegment(no_vertices, no_faces, 0.01, 20).shape == (0,)
    np.testing.assert_array_equal(
        oversegment(np.zeros((3, 3), np.float32), no_faces, 0.01, 20), [0, 1, 2]
    )


def test_faces_beyond_the_vertices_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"0\.\.3, the mesh has 3"):
        oversegment(np.zeros((3, 3), np.float32), np.array([[0, 1, 3]], np.int32), 0.01, 20)


def test_several_k_at_once() -> None:
    vertices, faces = bumpy(5)
    for k, found in zip(
        [0.01, 0.05], oversegment_all(vertices, faces, [0.01, 0.05], 20), strict=True
    ):
        np.testing.assert_array_equal(found, oversegment(vertices, faces, k, 20))
        assert found.dtype == np.int32


def test_sort_is_stable_with_nan_last() -> None:
    rng = np.random.default_rng(0)
    weights = rng.choice(
        np.array([-1e-7, -0.0, 0.0, 1e-9, 0.5, 2.0, np.nan, -np.nan], np.float32), 1000
    )
    np.testing.assert_array_equal(_stable_order(weights), np.argsort(weights, kind="stable"))
