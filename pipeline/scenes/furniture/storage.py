"""Cabinets, shelves, kitchen counters and refrigerators."""

import numpy as np

from pipeline.scenes.furniture.item import Group, Item, Part, Top, fronts, handles
from pipeline.scenes.materials import Material, Paint
from pipeline.scenes.solids import Interval, Solid, box, cylinder, join, lathe


def _chest(
    rng: np.random.Generator,
    paint: Paint,
    category: str,
    size: tuple[float, float, float],
    columns: int,
    rows: int,
    bottom: float = 0.0,
) -> Item:
    """A box with doors or drawers in front; `size` is width, depth, height."""
    width, depth, height = size
    half, top = width / 2, bottom + height
    plinth = 0.06 if bottom == 0 else 0.0
    body = box((-half, half), (0, depth - 0.02), (bottom + plinth, top))
    plates = fronts((-half, half), depth - 0.02, (bottom + plinth, top - 0.01), columns, rows)
    main = paint(category)
    parts = [
        Part(body, main),
        Part(join(plates), main if rng.random() < 0.6 else paint(category)),
        Part(join(handles(plates, bool(rng.random() < 0.5))), paint.metal()),
    ]
    if plinth:
        foot = box((-half + 0.03, half - 0.03), (0, depth - 0.08), (0, plinth))
        parts.append(Part(foot, paint.plain("dark")))
    return Item(category, parts, [Top((-half, half), (0, depth - 0.03), top)])


def cabinet(rng: np.random.Generator, paint: Paint) -> Group:
    """A sideboard or a chest of drawers."""
    size = (rng.uniform(0.7, 1.4), rng.uniform(0.38, 0.5), rng.uniform(0.7, 1.1))
    columns, rows = (
        (2, 1) if rng.random() < 0.4 else (int(rng.integers(1, 3)), int(rng.integers(3, 5)))
    )
    return [_chest(rng, paint, "cabinet", size, columns, rows)]


def low_cabinet(rng: np.random.Generator, paint: Paint) -> Group:
    """A low board that carries a television."""
    size = (rng.uniform(1.2, 1.7), rng.uniform(0.38, 0.48), rng.uniform(0.42, 0.55))
    return [_chest(rng, paint, "cabinet", size, 3, 1)]


def wardrobe(rng: np.random.Generator, paint: Paint) -> Group:
    """A tall cabinet with two or three doors."""
    size = (rng.uniform(0.9, 1.5), rng.uniform(0.5, 0.62), rng.uniform(1.85, 2.15))
    return [_chest(rng, paint, "wardrobe", size, int(rng.integers(2, 4)), 1)]


def nightstand(rng: np.random.Generator, paint: Paint) -> Group:
    """A bedside chest with one or two drawers."""
    size = (rng.uniform(0.38, 0.5), rng.uniform(0.35, 0.42), rng.uniform(0.42, 0.6))
    return [_chest(rng, paint, "nightstand", size, 1, int(rng.integers(1, 3)))]


def wall_cabinet(rng: np.random.Generator, paint: Paint) -> Group:
    """A kitchen cabinet that hangs on the wall."""
    size = (rng.uniform(0.8, 1.6), rng.uniform(0.30, 0.36), rng.uniform(0.55, 0.7))
    return [_chest(rng, paint, "kitchen cabinet", size, 3, 1, bottom=1.45)]


def _book_row(
    rng: np.random.Generator, paint: Paint, x: Interval, y: float, z: float, clear: float
) -> list[Part]:
    """Books side by side from the left, with their backs towards +y, up to `y`."""
    parts, left = [], x[0] + 0.01
    end = x[1] - rng.uniform(0.0, 0.4) * (x[1] - x[0])
    while left < end - 0.06:
        thick = rng.uniform(0.018, 0.05)
        height, deep = clear * rng.uniform(0.6, 0.93), rng.uniform(0.14, 0.2)
        book = box(
            (left, left + thick - 0.002), (y - deep, y - rng.uniform(0, 0.02)), (z, z + height)
        )
        colours = (paint.colour(), paint.colour(), paint.colour())
        parts.append(Part(book, Material("spines", colours, seed=paint.seed())))
        left += thick
    return parts


def bookshelf(rng: np.random.Generator, paint: Paint) -> Group:
    """Open shelves, with or without a back, filled with books (part of it, as ScanNet labels)."""
    half, depth, height = rng.uniform(0.4, 0.65), rng.uniform(0.26, 0.34), rng.uniform(1.4, 2.1)
    n_rows, board = int(rng.integers(4, 7)), 0.022
    frame: list[Solid] = [
        box((-half, -half + board), (0, depth), (0, height)),
        box((half - board, half), (0, depth), (0, height)),
    ]
    levels = np.linspace(0.06, height - board, n_rows)
    frame += [box((-half, half), (0.002, depth - 0.002), (z, z + board)) for z in levels]
    if rng.random() < 0.75:
        frame.append(box((-half, half), (0, 0.012), (0.06, height)))
    parts = [Part(join(frame), paint("bookshelf"))]
    inner = (-half + board, half - board)
    tops = [Top(inner, (0.05, depth), height)]
    for z, clear in zip(levels[:-1] + board, np.diff(levels) - board, strict=True):
        if rng.random() < 0.75:
            parts += _book_row(rng, paint, inner, depth - 0.03, z, clear)
        elif clear > 0.3:
            tops.append(Top(inner, (0.05, depth), z))
    return [Item("bookshelf", parts, tops)]


def faucet(reach: float, height: float) -> Solid:
    """A tap that stands at the origin and reaches towards +y."""
    return join(
        [
            cylinder(0.018, (0, height), 10),
            box((-0.014, 0.014), (0, reach), (height - 0.03, height)),
            cylinder(0.02, (0, 0.05), 10).moved(-0.09),
            cylinder(0.02, (0, 0.05), 10).moved(0.09),
        ]
    )


def counter(rng: np.random.Generator, paint: Paint) -> Group:
    """A kitchen counter on base cabinets, with a sink let in and a tap."""
    width, depth, height = rng.uniform(1.6, 2.4), rng.uniform(0.58, 0.65), rng.uniform(0.86, 0.92)
    half, slab = width / 2, 0.05
    place = rng.uniform(-half + 0.45, half - 0.45)
    hole, rim = (place - 0.28, place + 0.28), (0.12, depth - 0.10)
    low, up = height - slab, height
    # The slab leaves a hole for the sink, so that one looks down into its bowl.
    slabs = [
        box((-half, hole[0]), (0, depth), (low, up)),
        box((hole[1], half), (0, depth), (low, up)),
        box(hole, (0, rim[0]), (low, up)),
        box(hole, (rim[1], depth), (low, up)),
        box((-half, half), (0, 0.02), (up, up + 0.10)),
    ]
    columns = max(2, round(width / 0.5))
    base = _chest(rng, paint, "kitchen cabinet", (width, depth - 0.02, low - 0.2), columns, 1)
    wall = 0.012
    bowl = [
        box(hole, rim, (up - 0.19, up - 0.18)),
        box((hole[0], hole[0] + wall), rim, (up - 0.19, up + 0.006)),
        box((hole[1] - wall, hole[1]), rim, (up - 0.19, up + 0.006)),
        box(hole, (rim[0], rim[0] + wall), (up - 0.19, up + 0.006)),
        box(hole, (rim[1] - wall, rim[1]), (up - 0.19, up + 0.006)),
    ]
    # The strip of fronts that closes the gap between base and slab.
    apron = box((-half, half), (depth - 0.05, depth - 0.03), (low - 0.2, low))
    sides = [box((x, x + 0.02), (0, depth - 0.05), (low - 0.2, low)) for x in (-half, half - 0.02)]
    base = Item(base.category, [*base.parts, Part(join([apron, *sides]), base.parts[0].material)])
    steel = paint.plain("grey") if rng.random() < 0.6 else paint("sink")
    tap = faucet(0.2, 0.26).moved(place, 0.07, up)
    free = (-half, hole[0]) if place > 0 else (hole[1], half)
    return [
        Item("counter", [Part(join(slabs), paint("counter"))], [Top(free, (0.1, depth), up)]),
        base,
        Item("sink", [Part(join(bowl), steel), Part(tap, paint.plain("grey"))]),
    ]


def refrigerator(rng: np.random.Generator, paint: Paint) -> Group:
    """A refrigerator with a freezer door above or below."""
    half, depth, height = rng.uniform(0.28, 0.38), rng.uniform(0.6, 0.7), rng.uniform(1.3, 1.9)
    split = height * (rng.uniform(0.28, 0.4) if rng.random() < 0.5 else rng.uniform(0.62, 0.72))
    body = box((-half, half), (0, depth - 0.06), (0.04, height))
    doors, bars = [], []
    for z0, z1 in ((0.06, split - 0.008), (split + 0.008, height)):
        doors.append(box((-half, half), (depth - 0.055, depth), (z0, z1)))
        middle, reach = (z0 + z1) / 2, 0.35 * (z1 - z0)
        bar = cylinder(0.012, (middle - reach, middle + reach), 10)
        bars.append(bar.moved(half - 0.06, depth + 0.035))
        bars += [
            box((half - 0.065, half - 0.055), (depth, depth + 0.035), (z, z + 0.02))
            for z in (middle - reach, middle + reach - 0.02)
        ]
    main = paint("refrigerator")
    return [
        Item(
            "refrigerator",
            [Part(join([body, *doors]), main), Part(join(bars), paint.metal())],
            [Top((-half, half), (0.05, depth - 0.1), height)],
        )
    ]


def trash_can(rng: np.random.Generator, paint: Paint) -> Group:
    """An open bin."""
    radius, height = rng.uniform(0.12, 0.19), rng.uniform(0.28, 0.6)
    profile = [(0, 0), (radius * 0.8, 0), (radius, height), (radius - 0.01, height)]
    profile += [(radius * 0.78, 0.02), (0, 0.02)]
    return [Item("trash can", [Part(lathe(profile, 20).moved(0, radius), paint("trash can"))])]
