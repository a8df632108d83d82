"""What a furniture builder returns, and pieces that several builders use."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from pipeline.scenes.materials import Material, Paint
from pipeline.scenes.solids import Interval, Solid, box, cylinder


@dataclass(frozen=True)
class Part:
    """A solid of one material."""

    solid: Solid
    material: Material


@dataclass(frozen=True)
class Top:
    """A horizontal place where things can stand, in the item's frame, metres."""

    x: Interval
    y: Interval
    z: float


@dataclass(frozen=True)
class Item:
    """One object: an instance of a category.

    The frame: origin on the floor in the middle of the back edge, x to its left when seen from
    the front, y from the wall into the room, z up; metres.

    Attributes:
        category: raw ScanNet category, a key of `categories.NYU40_IDS`.
        parts: what it is made of.
        tops: where things can be put on it.
    """

    category: str
    parts: list[Part]
    tops: list[Top] = field(default_factory=list)

    def limits(self) -> np.ndarray:
        """Bounding box, float64 (2, 3): lower and upper corner in the item's frame."""
        vertices = np.concatenate([part.solid.vertices for part in self.parts])
        return np.array([vertices.min(0), vertices.max(0)], np.float64)


#: Items that share one frame (a counter, its cabinets and its sink); the first is the main one.
Group = list[Item]
Builder = Callable[[np.random.Generator, Paint], Group]


def four_legs(
    x: Interval,
    y: Interval,
    height: float,
    thickness: float,
    round_legs: bool,
) -> list[Solid]:
    """Four legs inside the rectangle, from the floor to `height`; round ones taper downwards."""
    half = thickness / 2
    places = [(i, j) for i in (x[0] + half, x[1] - half) for j in (y[0] + half, y[1] - half)]
    if round_legs:
        leg = cylinder(half * 0.6, (0, height), sides=10, top=1 / 0.6)
        return [leg.moved(i, j) for i, j in places]
    return [box((i - half, i + half), (j - half, j + half), (0, height)) for i, j in places]


def fronts(x: Interval, y: float, z: Interval, columns: int, rows: int) -> list[Solid]:
    """Doors or drawers as plates with gaps, on the plane `y`, facing +y."""
    xs, zs = np.linspace(*x, columns + 1), np.linspace(*z, rows + 1)
    gap = 0.006
    return [
        box((x0 + gap, x1 - gap), (y, y + 0.018), (z0 + gap, z1 - gap))
        for x0, x1 in pairwise(xs)
        for z0, z1 in pairwise(zs)
    ]


def handles(plates: list[Solid], is_bar: bool) -> list[Solid]:
    """A bar or a knob on each plate of `fronts`."""
    found = []
    for plate in plates:
        (x0, _, z0), (x1, y, z1) = plate.vertices.min(0), plate.vertices.max(0)
        x, z = float(x0 + x1) / 2, float(z0 + z1) / 2
        if z1 - z0 > x1 - x0:
            x = float(x1) - 0.05
        half_x, half_z = (0.06, 0.008) if z1 - z0 <= x1 - x0 else (0.008, 0.08)
        if not is_bar:
            half_x = half_z = 0.016
        found.append(
            box((x - half_x, x + half_x), (float(y), float(y) + 0.03), (z - half_z, z + half_z))
        )
    return found
