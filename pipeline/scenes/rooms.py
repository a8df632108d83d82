"""A whole room: outline, openings, furniture after a recipe for its use, and lamps."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from pipeline.config import Rooms
from pipeline.scenes.furniture import FURNITURE, Item, Part, fixtures
from pipeline.scenes.materials import TYPICAL, Paint
from pipeline.scenes.placement import CELL_M, Furnisher, Placed
from pipeline.scenes.recipes import ON_TOP, RECIPES, SIZE_SHARE
from pipeline.scenes.solids import Interval, box, yaw_matrix
from pipeline.scenes.walls import Wall, draw_outline, floor_and_ceiling, wall_item, walls_of


@dataclass(frozen=True)
class Light:
    """A lamp or a window: position (3,) in metres in the room, linear RGB power (3,)."""

    position: Float64[np.ndarray, "3"]
    power: Float64[np.ndarray, "3"]


@dataclass(frozen=True)
class Room:
    """A furnished room.

    Attributes:
        use: ScanNet's sceneType.
        placed: all objects, each an instance; shell first.
        height: metres.
        walkable: bool (rows, columns): cells of `placement.CELL_M` free of furniture.
        lights: lamps and windows.
        ambient: linear RGB of light from everywhere.
    """

    use: str
    placed: list[Placed]
    height: float
    walkable: Bool[np.ndarray, "rows columns"]
    lights: list[Light]
    ambient: Float64[np.ndarray, "3"]


def room_use(number: int) -> str:
    """Use of room `number`: they take turns, so that few rooms contain all classes."""
    return list(RECIPES)[number % len(RECIPES)]


def design_room(rng: np.random.Generator, number: int, params: Rooms) -> Room:
    """Design one room.

    Args:
        rng: Source of all randomness of the design.
        number: Number of the room; it determines its use.
        params: Sizes and colour_informativeness.

    Returns:
        The furnished room; the frame's origin is a corner on the floor, z up.
    """
    use = room_use(number)
    paint = Paint(rng, params.colour_informativeness)
    height = float(rng.uniform(2.35, 2.8))
    low, high = params.room_size_m
    outline = draw_outline(rng, (low, low + (high - low) * SIZE_SHARE.get(use, 1.0)))
    walls = walls_of(outline)
    furnisher = Furnisher.for_outline(rng, paint, walls, outline)
    daylight = float(rng.uniform(0.3, 1.0))
    lights = _openings(rng, paint, furnisher, height, daylight)
    _furnish(rng, furnisher, RECIPES[use])
    shell = _shell(rng, paint, walls, outline, height, is_tiled=use in ("Bathroom", "Kitchen"))
    lights += _ceiling_lamp(rng, paint, furnisher, height, 1.3 - daylight)
    warmth = rng.uniform(-0.05, 0.05)
    ambient = np.array([1 + warmth, 1.0, 1 - warmth]) * rng.uniform(0.22, 0.38)
    return Room(use, shell + furnisher.placed, height, furnisher.free, lights, ambient)


def _openings(
    rng: np.random.Generator, paint: Paint, furnisher: Furnisher, height: float, daylight: float
) -> list[Light]:
    """One door, one or two windows, most of them with curtains; returns the windows' light."""
    order = sorted(range(len(furnisher.walls)), key=lambda i: -furnisher.walls[i].length)
    long_walls = [furnisher.walls[i] for i in order if furnisher.walls[i].length > 1.5]
    picked = [long_walls[i] for i in rng.permutation(len(long_walls))]
    _door(rng, paint, furnisher, picked[0])
    lights = []
    for wall in picked[1 : 1 + int(rng.integers(1, 3))]:
        width = float(rng.uniform(0.8, min(1.7, wall.length - 0.6)))
        s = float(rng.uniform(width / 2 + 0.25, wall.length - width / 2 - 0.25))
        z = float(rng.uniform(0.8, 1.05)), height - float(rng.uniform(0.3, 0.5))
        middle = (z[0] + z[1]) / 2
        item = fixtures.window(rng, paint, width, z[1] - z[0])
        furnisher.placed.append(Placed(item, wall.T_room_wall @ yaw_matrix(0, s, 0, middle)))
        x = (s - width / 2, s + width / 2)
        wall.holes.append((x, z))
        wall.used.append(((x[0] - 0.06, x[1] + 0.06), (z[0] - 0.05, z[1] + 0.05)))
        if rng.random() < 0.8:
            _curtain(rng, paint, furnisher, wall, (s, width), z)
        inside = wall.T_room_wall @ np.array([s, 0.35, middle, 1])
        sky = np.array([0.92, 0.97, 1.08]) * daylight * width * (z[1] - z[0])
        lights.append(Light(inside[:3], sky * 1.2))
    return lights


def _door(rng: np.random.Generator, paint: Paint, furnisher: Furnisher, wall: Wall) -> None:
    width, height = float(rng.uniform(0.8, 0.95)), float(rng.uniform(2.0, 2.1))
    s = float(rng.uniform(width / 2 + 0.15, wall.length - width / 2 - 0.15))
    x = (s - width / 2, s + width / 2)
    wall.holes.append((x, (0.0, height)))
    wall.used.append(((x[0] - 0.08, x[1] + 0.08), (0.0, height + 0.08)))
    furnisher.clear_before(wall, x, 0.8)
    item = fixtures.door(rng, paint, width, height)
    furnisher.placed.append(Placed(item, wall.T_room_wall @ yaw_matrix(0, s)))


def _curtain(
    rng: np.random.Generator,
    paint: Paint,
    furnisher: Furnisher,
    wall: Wall,
    opening: Interval,
    z: Interval,
) -> None:
    s, width = opening
    bottom = 0.06 if rng.random() < 0.4 else z[0] - 0.2
    top = z[1] + 0.08
    item = fixtures.curtain(rng, paint, width, (bottom, top))
    low, high = item.limits()
    if s + low[0] < 0 or s + high[0] > wall.length:
        return
    wall.used.append(((s + low[0], s + high[0]), (bottom, top)))
    furnisher.placed.append(Placed(item, wall.T_room_wall @ yaw_matrix(0, s)))


def _furnish(
    rng: np.random.Generator, furnisher: Furnisher, recipe: list[tuple[str, str, float]]
) -> None:
    latest: dict[str, Placed | None] = {}
    for name, place, probability in recipe:
        if rng.random() >= probability:
            continue
        where, _, anchor_name = place.partition(":")
        anchor = latest.get(anchor_name)
        if where == "wall":
            latest[name] = furnisher.at_wall(name)
        elif where == "hang":
            furnisher.on_wall(name)
        elif where == "floor":
            furnisher.freely(name)
        elif where == "free":
            latest[name] = furnisher.freely(name, clearance=0.35)
        elif where == "before" and anchor:
            furnisher.before(name, anchor)
        elif where == "around" and anchor:
            furnisher.around(name, anchor)
    for anchor in list(furnisher.placed):
        names, most = ON_TOP.get(anchor.item.category, ([], 0))
        for top in anchor.item.tops:
            if names and top.z < 1.9:
                furnisher.on_top(anchor, top, names, int(rng.integers(most + 1)))


def _shell(
    rng: np.random.Generator,
    paint: Paint,
    walls: list[Wall],
    outline: np.ndarray,
    height: float,
    is_tiled: bool,
) -> list[Placed]:
    """Walls, floor, ceiling and perhaps a rug."""
    if is_tiled and rng.random() < 0.7:
        paper, ground = paint.draw(TYPICAL["tiled wall"]), paint.draw(TYPICAL["tiled floor"])
    else:
        paper, ground = paint("wall"), paint("floor")
    accent = paint("wall") if rng.random() < 0.5 else paper
    special = int(rng.integers(len(walls)))
    skirting = paint.plain("white" if rng.random() < 0.6 else "wood")
    placed = [
        Placed(
            wall_item(wall, height, accent if i == special else paper, skirting), wall.T_room_wall
        )
        for i, wall in enumerate(walls)
    ]
    ceiling = paint.draw(TYPICAL["ceiling"])
    for item in floor_and_ceiling(outline, height, ground, ceiling):
        placed.append(Placed(item, np.eye(4)))
    if rng.random() < 0.6:
        half = rng.uniform(0.2, 0.3) * outline.max(0)
        rug = box((-half[0], half[0]), (-half[1], half[1]), (0.0, 0.012))
        middle = outline.max(0) * rng.uniform(0.45, 0.55, 2)
        turn = yaw_matrix(rng.normal(0, 0.05), *middle)
        placed.append(Placed(Item("rug", [Part(rug, paint("rug"))]), turn))
    return placed


def _ceiling_lamp(
    rng: np.random.Generator, paint: Paint, furnisher: Furnisher, height: float, strength: float
) -> list[Light]:
    """A lamp over the middle of the room, and its light."""
    rows, columns = furnisher.free.shape
    x, y = np.array([columns, rows]) * CELL_M * rng.uniform(0.4, 0.6, 2)
    item = FURNITURE["ceiling_lamp"](rng, paint)[0]
    furnisher.placed.append(Placed(item, yaw_matrix(0, x, y, height)))
    below = height + item.limits()[0, 2] - 0.06
    warm = np.array([1.08, 1.0, rng.uniform(0.78, 0.95)])
    return [Light(np.array([x, y, below]), warm * strength * 2.2)]
