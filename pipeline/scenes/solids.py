"""Triangle solids that furniture is put together from: boxes, turned shapes, cushions, sheets."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int32

#: beartype, unlike the language, does not take an int for a float.
Real = float | int
Interval = tuple[Real, Real]

#: Edges sharper than this stay sharp when normals are smoothed.
CREASE_COSINE = np.float32(np.cos(np.deg2rad(50)))


@dataclass(frozen=True)
class Solid:
    """Triangles of one piece, in metres in the frame of its object (z up).

    Attributes:
        vertices: float32 (V, 3), metres, object frame.
        faces: int32 (F, 3), counter-clockwise seen from outside.
    """

    vertices: Float32[np.ndarray, "v 3"]
    faces: Int32[np.ndarray, "f 3"]

    def moved(self, x: Real = 0, y: Real = 0, z: Real = 0, turn: Real = 0) -> "Solid":
        """The solid turned about z by `turn` radians, then shifted by (x, y, z) metres."""
        return self.posed(yaw_matrix(turn, x, y, z))

    def posed(self, transform: Float[np.ndarray, "4 4"]) -> "Solid":
        """The solid under a rigid 4x4 transform."""
        vertices = self.vertices @ transform[:3, :3].T + transform[:3, 3]
        return Solid(vertices.astype(np.float32), self.faces)


def yaw_matrix(turn: Real, x: Real = 0, y: Real = 0, z: Real = 0) -> np.ndarray:
    """Rotation about z by `turn` radians and a shift in metres, float64 (4, 4)."""
    cosine, sine = np.cos(turn), np.sin(turn)
    matrix = np.eye(4)
    matrix[:2, :2] = [[cosine, -sine], [sine, cosine]]
    matrix[:3, 3] = x, y, z
    return matrix


def tilt_matrix(angle: Real, pivot: tuple[Real, Real, Real]) -> np.ndarray:
    """Rotation about the x axis through `pivot` by `angle` radians, float64 (4, 4)."""
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix = np.eye(4)
    matrix[1:3, 1:3] = [[cosine, -sine], [sine, cosine]]
    matrix[:3, 3] = np.asarray(pivot) - matrix[:3, :3] @ np.asarray(pivot)
    return matrix


def join(solids: list[Solid]) -> Solid:
    """Several solids as one."""
    offsets = np.cumsum([0] + [len(solid.vertices) for solid in solids[:-1]])
    faces = [solid.faces + offset for solid, offset in zip(solids, offsets, strict=True)]
    return Solid(
        np.concatenate([solid.vertices for solid in solids]),
        np.concatenate(faces).astype(np.int32),
    )


def _grid_faces(rows: int, columns: int, wrap: bool) -> np.ndarray:
    """Two triangles per cell of a (rows, columns) vertex grid; `wrap` closes the columns."""
    row, column = np.mgrid[: rows - 1, : columns if wrap else columns - 1]
    following = (column + 1) % columns
    a, b = row * columns + column, row * columns + following
    c, d = (row + 1) * columns + column, (row + 1) * columns + following
    return np.stack([np.stack([a, b, d], -1), np.stack([a, d, c], -1)], -2).reshape(-1, 3)


def box(x: Interval, y: Interval, z: Interval) -> Solid:
    """Axis-aligned box between the given limits, metres."""
    corners = np.array([[i, j, k] for k in z for j in y for i in x], np.float32)
    quads = [[0, 2, 3, 1], [4, 5, 7, 6], [0, 1, 5, 4], [2, 6, 7, 3], [0, 4, 6, 2], [1, 3, 7, 5]]
    faces = [[q[i] for i in triple] for q in quads for triple in ((0, 1, 2), (0, 2, 3))]
    return Solid(corners, np.array(faces, np.int32))


def lathe(profile: list[Interval], sides: int = 24, stretch: Interval = (1, 1)) -> Solid:
    """Surface of revolution about z.

    Args:
        profile: (radius, height) in metres, from the bottom up along the outside; a vessel's
            profile goes on down its inside. Ends with radius 0 are closed.
        sides: Corners of a horizontal section.
        stretch: Factors on x and y, for oval sections.
    """
    radius, height = np.array(profile, np.float32).T
    angle = np.arange(sides) * (2 * np.pi / sides)
    x = radius[:, None] * np.cos(angle) * stretch[0]
    y = radius[:, None] * np.sin(angle) * stretch[1]
    vertices = np.stack([x, y, np.broadcast_to(height[:, None], x.shape)], -1)
    return Solid(
        vertices.reshape(-1, 3).astype(np.float32),
        _grid_faces(len(profile), sides, wrap=True).astype(np.int32),
    )


def cylinder(radius: Real, z: Interval, sides: int = 20, top: Real = 1) -> Solid:
    """Closed upright cylinder, or a cone stump whose upper radius is `top` times the lower."""
    low, high = z
    return lathe([(0, low), (radius, low), (radius * top, high), (0, high)], sides)


def cushion(x: Interval, y: Interval, z: Interval, power: Real = 5) -> Solid:
    """Box with rounded edges and bulging faces: a superellipsoid between the given limits.

    Args:
        x: Limits along x, metres.
        y: Limits along y, metres.
        z: Limits along z, metres.
        power: 2 is an ellipsoid; the larger, the more like a box.
    """
    polar = np.linspace(-np.pi / 2, np.pi / 2, 13)[:, None]
    turn = np.arange(28) * (2 * np.pi / 28)
    direction = np.stack(
        [
            np.cos(polar) * np.cos(turn),
            np.cos(polar) * np.sin(turn),
            np.broadcast_to(np.sin(polar), (13, 28)),
        ],
        -1,
    )
    norm = (np.abs(direction) ** power).sum(-1, keepdims=True) ** (1 / power)
    limits = np.array([x, y, z])
    vertices = (direction / norm) * (limits[:, 1] - limits[:, 0]) / 2 + limits.mean(1)
    return Solid(
        vertices.reshape(-1, 3).astype(np.float32),
        _grid_faces(13, 28, wrap=True).astype(np.int32),
    )


def wavy_sheet(
    width: Real, z: Interval, depth: Real, n_waves: Real, thickness: Real = 0.015
) -> Solid:
    """Hanging cloth in folds: centred in x, waves of amplitude `depth` along y, metres."""
    columns = max(int(n_waves * 12), 8)
    s = np.linspace(-0.5, 0.5, columns)
    y = depth * np.sin(s * n_waves * 2 * np.pi)
    outline_x = np.concatenate([s, s[::-1]]) * width
    outline_y = np.concatenate([y - thickness / 2, (y + thickness / 2)[::-1]])
    heights = np.linspace(z[0], z[1], 2)
    vertices = np.stack(
        [
            np.tile(outline_x, 2),
            np.tile(outline_y, 2),
            np.repeat(heights, len(outline_x)),
        ],
        -1,
    )
    return Solid(
        vertices.astype(np.float32), _grid_faces(2, 2 * columns, wrap=True).astype(np.int32)
    )


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def corner_normals(solid: Solid) -> Float32[np.ndarray, "f 3 3"]:
    """Shading normals of every face corner: smooth over gentle edges, flat at sharp ones.

    Args:
        solid: Any solid.

    Returns:
        float32 (F, 3, 3): unit normal of each face's three corners, object frame.
    """
    corners = solid.vertices[solid.faces]
    flat = _unit(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    ahead = _unit(np.roll(corners, -1, 1) - corners)
    behind = _unit(np.roll(corners, 1, 1) - corners)
    # Weighted by the angle at the corner, so that it does not matter how faces are cut up.
    angle = np.arccos(np.clip((ahead * behind).sum(-1), -1, 1))
    # Corners meet by place, not by index: the poles and seams of a lathe share places only.
    _, place = np.unique(np.round(solid.vertices, 5), axis=0, return_inverse=True)
    place = place.reshape(-1)[solid.faces]
    total = np.zeros((place.max() + 1, 3), np.float32)
    np.add.at(total, place, flat[:, None] * angle[..., None])
    smooth = _unit(total)[place]
    is_gentle = (smooth * flat[:, None]).sum(-1, keepdims=True) > CREASE_COSINE
    return np.where(is_gentle, smooth, flat[:, None]).astype(np.float32)
