"""The shell of a room: its outline, walls with holes for doors and windows, floor and ceiling."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from pipeline.scenes.furniture.item import Item, Part
from pipeline.scenes.materials import Material
from pipeline.scenes.solids import Solid, box, join, yaw_matrix

THICKNESS_M = 0.12
Interval = tuple[float, float]


@dataclass
class Wall:
    """One straight wall.

    Attributes:
        T_room_wall: float64 (4, 4); the wall's frame has x along the wall, y into the room, z up.
        length: metres.
        holes: (x interval, z interval) of doors and windows, metres, wall frame.
        used: (x interval, z interval) where something stands before, hangs on or pierces it.
    """

    T_room_wall: Float64[np.ndarray, "4 4"]
    length: float
    holes: list[tuple[Interval, Interval]] = field(default_factory=list)
    used: list[tuple[Interval, Interval]] = field(default_factory=list)

    def is_free(self, x: Interval, z: Interval) -> bool:
        """Whether nothing uses this part of the wall yet."""
        return all(x[1] <= a[0] or a[1] <= x[0] or z[1] <= b[0] or b[1] <= z[0] for a, b in self.used)


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
    walls = []
    for start, end in zip(outline, np.roll(outline, -1, 0), strict=True):
        along = end - start
        transform = yaw_matrix(float(np.arctan2(along[1], along[0])), *start)
        walls.append(Wall(transform, float(np.linalg.norm(along))))
    return walls


def wall_item(wall: Wall, height: float, paper: Material, skirting: Material) -> Item:
    """The wall's body around its holes, with a skirting board."""
    pieces: list[Solid] = []
    boards: list[Solid] = []
    depth, left = (-THICKNESS_M, 0.0), 0.0
    # Pieces overlap at no corner of the room that can be seen: the body lies behind y = 0.
    for (x0, x1), (z0, z1) in sorted(wall.holes):
        pieces.append(box((left, x0), depth, (0, height)))
        boards.append(box((left, x0), (0, 0.015), (0, 0.08)))
        pieces.append(box((x0, x1), depth, (z1, height)))
        if z0 > 0:
            pieces.append(box((x0, x1), depth, (0, z0)))
            boards.append(box((x0, x1), (0, 0.015), (0, 0.08)))
        left = x1
    pieces.append(box((left, wall.length), depth, (0, height)))
    boards.append(box((left, wall.length), (0, 0.015), (0, 0.08)))
    return Item("wall", [Part(join(pieces), paper), Part(join(boards), skirting)])


def floor_and_ceiling(
    outline: Float64[np.ndarray, "n 2"], height: float, floor: Material, ceiling: Material
) -> list[Item]:
    """Slabs under and over the enclosing rectangle; walls hide what lies outside the outline."""
    x, y = (tuple(map(float, limits)) for limits in np.array([outline.min(0), outline.max(0)]).T)
    return [
        Item("floor", [Part(box(x, y, (-0.1, 0.0)), floor)]),
        Item("ceiling", [Part(box(x, y, (height, height + 0.1)), ceiling)]),
    ]
