"""Where furniture goes: against walls, before or around other pieces, on them, freely."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Bool, Float64

from pipeline.scenes.furniture import FURNITURE, Group, Item, Top
from pipeline.scenes.materials import Paint
from pipeline.scenes.solids import Interval, yaw_matrix
from pipeline.scenes.walls import Wall

#: Side of a cell of the floor plan, metres.
CELL_M = 0.05
_ATTEMPTS = 40


@dataclass(frozen=True)
class Placed:
    """An item and where it stands: T_room_item float64 (4, 4), metres."""

    item: Item
    T_room_item: Float64[np.ndarray, "4 4"]


def _limits(group: Iterable[Item]) -> Float64[np.ndarray, "2 3"]:
    limits = np.array([item.limits() for item in group])
    return np.array([limits[:, 0].min(0), limits[:, 1].max(0)])


@dataclass
class Furnisher:
    """Places furniture in a room without collisions; all `place_*` return what they placed.

    Attributes:
        rng: source of randomness.
        paint: chooses materials.
        walls: the room's walls; what stands at them is noted there.
        free: bool (rows, columns): cells of the floor plan that are floor and not furnished.
        keep_clear: cells that stay free of furniture (before doors), though one can walk there.
        placed: everything placed so far.
    """

    rng: np.random.Generator
    paint: Paint
    walls: list[Wall]
    free: Bool[np.ndarray, "rows columns"]
    keep_clear: Bool[np.ndarray, "rows columns"]
    placed: list[Placed] = field(default_factory=list)

    @classmethod
    def for_outline(
        cls, rng: np.random.Generator, paint: Paint, walls: list[Wall], outline: np.ndarray
    ) -> "Furnisher":
        """A furnisher of the empty room with this outline (corners (N, 2), metres)."""
        columns, rows = np.ceil(outline.max(0) / CELL_M).astype(int)
        mask = np.zeros((rows, columns), np.uint8)
        cv2.fillPoly(mask, [np.rint(outline / CELL_M - 0.5).astype(np.int32)], 1)
        return cls(rng, paint, walls, mask > 0, np.zeros(mask.shape, bool))

    def _cells(self, transform: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Mask of the cells under the rectangle low..high (2,) of a frame."""
        corners = np.array(
            [[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]]
        )
        corners = corners @ transform[:2, :2].T + transform[:2, 3]
        mask = np.zeros(self.free.shape, np.uint8)
        cv2.fillConvexPoly(mask, np.rint(corners / CELL_M - 0.5).astype(np.int32), 1)
        return mask > 0

    def _inside(self, transform: np.ndarray, low: np.ndarray, high: np.ndarray) -> bool:
        corners = np.array([[x, y] for x in (low[0], high[0]) for y in (low[1], high[1])])
        corners = corners @ transform[:2, :2].T + transform[:2, 3]
        extent = np.array(self.free.shape)[::-1] * CELL_M
        return bool((corners > -0.02).all() and (corners < extent + 0.02).all())

    def _put(
        self, group: Group, transform: np.ndarray, clearance: float, front: float = 0.0
    ) -> bool:
        """Place a group if its footprint, `clearance` around and `front` before it are free."""
        low, high = _limits(group)
        if not self._inside(transform, low, high):
            return False
        footprint = self._cells(transform, low, high)
        margin = np.array([clearance, clearance + front])
        around = footprint | self._cells(transform, low[:2] - clearance, high[:2] + margin)
        if not self.free[around].all() or self.keep_clear[footprint].any():
            return False
        self.free &= ~footprint
        self.placed += [Placed(item, transform) for item in group]
        return True

    def clear_before(self, wall: Wall, x: Interval, depth: float) -> None:
        """Keep the floor before a stretch of wall free, for a door to open."""
        self.keep_clear |= self._cells(
            wall.T_room_wall, np.array([x[0], 0]), np.array([x[1], depth])
        )

    def _pick_wall(self) -> Wall:
        lengths = np.array([wall.length for wall in self.walls])
        return self.walls[self.rng.choice(len(lengths), p=lengths / lengths.sum())]

    def _spot(self, wall: Wall, width: float) -> float | None:
        """A place along the wall for something this wide, often its corners; None if none."""
        half = width / 2 + 0.03
        if wall.length < 2 * half:
            return None
        if self.rng.random() < 0.4:
            return float(self.rng.choice([half, wall.length - half]))
        return float(self.rng.uniform(half, wall.length - half))

    def at_wall(self, name: str, front: float = 0.45) -> Placed | None:
        """A piece with its back to a wall and some free floor before it."""
        group = FURNITURE[name](self.rng, self.paint)
        low, high = _limits(group)
        for _ in range(_ATTEMPTS):
            wall = self._pick_wall()
            s = self._spot(wall, 2 * max(-low[0], high[0]))
            if s is None:
                continue
            x, z = (s + low[0], s + high[0]), (low[2], high[2])
            # What hangs above the floor stands in nobody's way.
            transform = wall.T_room_wall @ yaw_matrix(0, s, 0.02)
            if not wall.is_free(x, z):
                continue
            if low[2] > 1.0:
                self.placed += [Placed(item, transform) for item in group]
            elif not self._put(group, transform, 0.0, front):
                continue
            wall.used.append((x, z))
            return next(p for p in reversed(self.placed) if p.item is group[0])
        return None

    def on_wall(self, name: str) -> Placed | None:
        """A picture, poster or board at eye height on a free stretch of wall."""
        group = FURNITURE[name](self.rng, self.paint)
        low, high = _limits(group)
        for _ in range(_ATTEMPTS):
            wall = self._pick_wall()
            s, z = self._spot(wall, high[0] - low[0]), self.rng.uniform(1.35, 1.65)
            if s is None:
                continue
            spot = (s + low[0], s + high[0]), (z + low[2], z + high[2])
            if wall.is_free(*spot):
                wall.used.append(spot)
                self.placed.append(Placed(group[0], wall.T_room_wall @ yaw_matrix(0, s, 0, z)))
                return self.placed[-1]
        return None

    def before(self, name: str, anchor: Placed) -> Placed | None:
        """A chair before a desk, facing it."""
        group = FURNITURE[name](self.rng, self.paint)
        depth = _limits(group)[1][1]
        low, high = anchor.item.limits()
        for _ in range(8):
            x = self.rng.uniform(low[0] * 0.4, high[0] * 0.4)
            y = high[1] + depth + self.rng.uniform(0.06, 0.25)
            turn = np.pi + self.rng.normal(0, 0.3)
            if self._put(group, anchor.T_room_item @ yaw_matrix(turn, x, y), 0.0):
                return self.placed[-1]
        return None

    def around(self, name: str, anchor: Placed) -> None:
        """Chairs at the sides of a table, facing it; some sides stay empty."""
        low, high = anchor.item.limits()
        middle = (low + high) / 2
        for side in range(4):
            if self.rng.random() < 0.2:
                continue
            reach = (high - middle)[1 if side % 2 == 0 else 0]
            group = FURNITURE[name](self.rng, self.paint)
            away = reach + _limits(group)[1][1] + self.rng.uniform(0.03, 0.15)
            # Turned by a quarter each, the chair stands `away` along +y and looks back.
            place = yaw_matrix(side * np.pi / 2, *middle[:2]) @ yaw_matrix(0, 0, away)
            turn = yaw_matrix(np.pi + self.rng.normal(0, 0.15))
            self._put(group, anchor.T_room_item @ place @ turn, 0.0)

    def freely(self, name: str, clearance: float = 0.05) -> Placed | None:
        """Anywhere on the floor, in any direction; large clearance for tables."""
        group = FURNITURE[name](self.rng, self.paint)
        rows, columns = np.nonzero(self.free & ~self.keep_clear)
        for _ in range(_ATTEMPTS if len(rows) else 0):
            cell = self.rng.integers(len(rows))
            x, y = (columns[cell] + 0.5) * CELL_M, (rows[cell] + 0.5) * CELL_M
            turn = self.rng.integers(4) * np.pi / 2 + self.rng.normal(0, 0.15)
            if self._put(group, yaw_matrix(turn, x, y), clearance):
                return next(p for p in reversed(self.placed) if p.item is group[0])
        return None

    def on_top(self, anchor: Placed, top: Top, names: list[str], n: int) -> None:
        """Up to `n` things standing on one top of a piece, none in another."""
        taken: list[np.ndarray] = []
        for _ in range(n):
            group = FURNITURE[str(self.rng.choice(names))](self.rng, self.paint)
            low, high = _limits(group)
            spare = np.array([top.x[1] - top.x[0], top.y[1] - top.y[0]]) - (high - low)[:2]
            if (spare < 0).any():
                continue
            corner = np.array([top.x[0], top.y[0]]) + self.rng.uniform(0, 1, 2) * spare
            rect = np.array([corner, corner + (high - low)[:2]])
            if any((rect[0] < other[1]).all() and (other[0] < rect[1]).all() for other in taken):
                continue
            taken.append(rect)
            x, y = corner - low[:2]
            shift = yaw_matrix(0, x, y, top.z)
            self.placed += [Placed(item, anchor.T_room_item @ shift) for item in group]
