"""Felzenszwalb oversegmentation of a mesh, with the partition of ScanNet's Segmentator."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Int32, Int64

from pipeline.geometry.oversegmentation_kernels import edge_weights, segment_graph


def oversegment(
    vertices: Float32[np.ndarray, "v 3"],
    faces: Int32[np.ndarray, "f 3"],
    k: float,
    min_vertices: int,
) -> Int32[np.ndarray, " v"]:
    """Segment a mesh along its creases; see `oversegment_all` for arguments and source."""
    return oversegment_all(vertices, faces, [k], min_vertices)[0]


def oversegment_all(
    vertices: Float32[np.ndarray, "v 3"],
    faces: Int32[np.ndarray, "f 3"],
    ks: Sequence[float],
    min_vertices: int,
) -> list[Int32[np.ndarray, " v"]]:
    """Segment a mesh along its creases for several k; weights and their order are made once.

    Args:
        vertices: float32 (V, 3), metres. Vertices of no face are segments of their own.
        faces: int32 (F, 3). Zero-area faces are allowed: their edges join nothing but segments
            below `min_vertices`.
        ks: thresholds (kThresh); larger joins more.
        min_vertices: segments below this size are joined with a neighbour; a disconnected piece
            below it stays.

    Returns:
        For each k int32 (V,), 0..S-1 in order of first appearance.

    Raises:
        ValueError: a face names a vertex that does not exist.

    Source: ScanNet's Segmentator (Felzenszwalb and Huttenlocher 2004), as specified in
    geometry_reference.md section 1. Deviation: its sort is unstable, this one keeps the order of
    equal weights; on real meshes the partition is the same.
    """
    if faces.size and not (faces.min() >= 0 and faces.max() < len(vertices)):
        raise ValueError(
            f"faces name vertices {faces.min()}..{faces.max()}, the mesh has {len(vertices)}"
        )
    edges, weights = edge_weights(np.ascontiguousarray(vertices), np.ascontiguousarray(faces))
    order = _stable_order(weights)
    return [segment_graph(len(vertices), edges, weights, order, k, min_vertices) for k in ks]


def _stable_order(weights: Float32[np.ndarray, " e"]) -> Int64[np.ndarray, " e"]:
    """Stable ascending order, NaN last.

    One sort of (weight, index) packed into 64 bits: several times faster than a stable argsort.
    """
    bits = np.where(np.isnan(weights), np.float32(np.nan), weights + np.float32(0)).view(np.int32)
    # Negative floats order their bits backwards; -0.0 became 0.0 above.
    keys = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits).astype(np.int64) << 32
    keys |= np.arange(len(weights))
    keys.sort()
    return keys & 0xFFFFFFFF
