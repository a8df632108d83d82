"""The shell of a room: its outline, walls with holes for doors and windows, floor and ceiling."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from pipeline.scenes.furniture.item import Item, Part
from pipeline.scenes.materials import Material
from pipeline.scenes.solids import Interval, Solid, box, join, yaw_matrix

THICKNESS_M = 0.12
_INSET_M = 0.001


@dataclass
class Wall:
    """One straight wall.

    Attributes:
        T_room_wall: float64 (4, 4); the wall's frame has x along the wall, y into the room, z up.
        length: metres.
        body: x interval of the wall's body, a little short where it ends at an outer corner.
        holes: (x interval, z interval) of doors and windows, metres, wall frame.
        used: (x interval, z interval) where something stands before, hangs on or pierces it.
    """

    T_room_wall: Float64[np.ndarray, "4 4"]
    length: float
    body: Interval
    holes: list[tuple[Interval, Interval]] = field(default_factory=list)
    used: list[tuple[Interval, Interval]] = field(default_factory=list)

    def is_free(self, x: Interval, z: Interval) -> bool:
        """Whether nothing uses this part of the wall yet."""
        return all(
            x[1] <= a[0] or a[1] <= x[0] or z[1] <= b[0] or b[1] <= z[0] for a, b in self.used
        )


def draw_outline(rng: np.random.Generator, size: Interval) -> Float64[np.ndarray, "n 2"]:
    """Outline of a room: a rectangle, an L, or a rectangle with a pier that leaves alcoves.

    Args:
        rng: Source of randomness.
        size: Shortest and longest wall of the enclosing rectangle, metres.

    Returns:
        float64 (N, 2): corners in metres, counter-clockwise, from (0, 0) upwards.
    """
    x, y = np.sort(rng.uniform(*size, 2))[::-1]
    shape = rng.random()
    deep, wide = rng.uniform(0.2, 0.3) * y, rng.uniform(0.25, 0.35) * x
    if shape < 0.4:
        top = []
    elif shape < 0.7:
        top = [(x, y - deep), (x - wide, y - deep), (x - wide, y)]
    else:
        left = rng.uniform(0.25, 0.45) * x
        right = left + wide * 0.7
        deep = min(deep, 0.5)
        top = [(x, y), (right, y), (right, y - deep), (left, y - deep), (left, y)]
    outline = np.array([(0, 0), (x, 0), *(top or [(x, y)]), (0, y)])
    quarter_turns = int(rng.integers(4))
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    for _ in range(quarter_turns):
        outline = outline @ turn
    return outline - outline.min(0)


def walls_of(outline: Float64[np.ndarray, "n 2"]) -> list[Wall]:
    """The walls along an outline's edges."""
    edges = np.roll(outline, -1, 0) - outline
    before = np.roll(edges, 1, 0)
    is_outer = before[:, 0] * edges[:, 1] - before[:, 1] * edges[:, 0] < 0
    # The end of a wall must not lie in the surface of the next: that would show as a flicker.
    inset = np.where(is_outer, _INSET_M, 0.0)
    walls = []
    for start, edge, low, high in zip(outline, edges, inset, np.roll(inset, -1), strict=True):
        transform = yaw_matrix(float(np.arctan2(edge[1], edge[0])), *start)
        length = float(np.linalg.norm(edge))
        walls.append(Wall(transform, length, (float(low), length - float(high))))
    return walls


def wall_item(wall: Wall, height: float, paper: Material, skirting: Material) -> Item:
    """The wall's body around its holes, with a skirting board."""
    pieces: list[Solid] = []
    boards: list[Solid] = []
    depth, left = (-THICKNESS_M, 0.0), wall.body[0]
    for (x0, x1), (z0, z1) in sorted(wall.holes):
        pieces.append(box((left, x0), depth, (0, height)))
        boards.append(box((left, x0), (0, 0.015), (0, 0.08)))
        pieces.append(box((x0, x1), depth, (z1, height)))
        if z0 > 0:
            pieces.append(box((x0, x1), depth, (0, z0)))
            boards.append(box((x0, x1), (0, 0.015), (0, 0.08)))
        left = x1
    pieces.append(box((left, wall.body[1]), depth, (0, height)))
    boards.append(box((left, wall.body[1]), (0, 0.015), (0, 0.08)))
    return Item("wall", [Part(join(pieces), paper), Part(join(boards), skirting)])


def floor_and_ceiling(
    outline: Float64[np.ndarray, "n 2"], height: float, floor: Material, ceiling: Material
) -> list[Item]:
    """Slabs under and over the enclosing rectangle; walls hide what lies outside the outline."""
    # Under the walls too: one looks into the openings of the doors.
    width, depth = outline.max(0) + THICKNESS_M
    x, y = (-THICKNESS_M, width), (-THICKNESS_M, depth)
    return [
        Item("floor", [Part(box(x, y, (-0.1, 0)), floor)]),
        Item("ceiling", [Part(box(x, y, (height, height + 0.1)), ceiling)]),
    ]
