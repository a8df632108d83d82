"""Compiled parts of the oversegmentation; float32 and operation order are the Segmentator's."""

# mypy: ignore-errors
# Inside compiled functions numba's types hold, which mypy does not know.
import numpy as np

from pipeline.geometry.grid_kernels import compile_kernel


@compile_kernel
def edge_weights(vertices, faces):
    """Three edges per face in the order (1,2), (1,3), (3,2), and their weights.

    Returns:
        edges: int32 (3 F, 2); shared edges are listed once per face.
        weights: float32 (3 F,), NaN at zero-area faces.
    """
    one = np.float32(1)
    normals = np.zeros((len(vertices), 3), np.float32)
    counts = np.zeros(len(vertices), np.float32)
    edges = np.empty((3 * len(faces), 2), np.int32)
    normal = np.empty(3, np.float32)
    for f in range(len(faces)):
        i, j, k = faces[f]
        ux = vertices[j, 0] - vertices[i, 0]
        uy = vertices[j, 1] - vertices[i, 1]
        uz = vertices[j, 2] - vertices[i, 2]
        vx = vertices[k, 0] - vertices[i, 0]
        vy = vertices[k, 1] - vertices[i, 1]
        vz = vertices[k, 2] - vertices[i, 2]
        cx, cy, cz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        length = np.sqrt(cx * cx + cy * cy + cz * cz)
        normal[0], normal[1], normal[2] = cx / length, cy / length, cz / length
        for vertex in (i, j, k):
            share = one / (counts[vertex] + one)
            rest = one - share
            for axis in range(3):
                normals[vertex, axis] = share * normal[axis] + rest * normals[vertex, axis]
        # After the loop above: a face that names a vertex twice must not see its own count.
        counts[i] += one
        counts[j] += one
        counts[k] += one
        edges[3 * f, 0], edges[3 * f, 1] = i, j
        edges[3 * f + 1, 0], edges[3 * f + 1, 1] = i, k
        edges[3 * f + 2, 0], edges[3 * f + 2, 1] = k, j

    weights = np.empty(len(edges), np.float32)
    for e in range(len(edges)):
        a, b = edges[e]
        dx = vertices[b, 0] - vertices[a, 0]
        dy = vertices[b, 1] - vertices[a, 1]
        dz = vertices[b, 2] - vertices[a, 2]
        length = np.sqrt(dx * dx + dy * dy + dz * dz)
        dx, dy, dz = dx / length, dy / length, dz / length
        na, nb_ = normals[a], normals[b]
        weight = one - (na[0] * nb_[0] + na[1] * nb_[1] + na[2] * nb_[2])
        if nb_[0] * dx + nb_[1] * dy + nb_[2] * dz > 0:
            weight = weight * weight
        weights[e] = weight
    return edges, weights


@compile_kernel
def _find(parent, x):
    root = x
    while parent[root] != root:
        root = parent[root]
    while parent[x] != root:
        parent[x], x = root, parent[x]
    return root


@compile_kernel
def _join(parent, size, a, b):
    """Hang the smaller tree below the larger; the partition does not depend on which."""
    if size[a] < size[b]:
        a, b = b, a
    parent[b] = a
    size[a] += size[b]
    return a


@compile_kernel
def segment_graph(n_vertices, edges, weights, order, k, min_vertices):
    """Felzenszwalb-Huttenlocher over edges in `order`, then the joining of small segments.

    Returns:
        int32 (V,), 0..S-1, numbered by each segment's first vertex.
    """
    k = np.float32(k)
    parent = np.arange(n_vertices).astype(np.int32)
    size = np.ones(n_vertices, np.int32)
    threshold = np.full(n_vertices, k, np.float32)
    for e in order:
        a, b = _find(parent, edges[e, 0]), _find(parent, edges[e, 1])
        weight = weights[e]
        if a != b and weight <= threshold[a] and weight <= threshold[b]:
            a = _join(parent, size, a, b)
            threshold[a] = weight + k / np.float32(size[a])
    for e in order:
        a, b = _find(parent, edges[e, 0]), _find(parent, edges[e, 1])
        if a != b and (size[a] < min_vertices or size[b] < min_vertices):
            _join(parent, size, a, b)

    number = np.full(n_vertices, -1, np.int32)
    segment_id = np.empty(n_vertices, np.int32)
    n_segments = 0
    for vertex in range(n_vertices):
        root = _find(parent, vertex)
        if number[root] < 0:
            number[root] = n_segments
            n_segments += 1
        segment_id[vertex] = number[root]
    return segment_id
