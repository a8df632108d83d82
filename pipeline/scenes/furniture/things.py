"""Small things that stand on the floor, on furniture, or hang from the ceiling."""

import numpy as np

from pipeline.scenes.furniture.item import Group, Item, Part
from pipeline.scenes.materials import Material, Paint
from pipeline.scenes.solids import box, cushion, cylinder, join, lathe, tilt_matrix


def floor_lamp(rng: np.random.Generator, paint: Paint) -> Group:
    """A disc, a thin pole and a shade."""
    height, radius = rng.uniform(1.3, 1.75), rng.uniform(0.14, 0.22)
    foot = lathe([(0, 0), (0.14, 0), (0.14, 0.02), (0.03, 0.04), (0, 0.04)], 20)
    pole = cylinder(0.012, (0.03, height), 8)
    shade = cylinder(radius, (height - 0.25, height), 24, top=rng.uniform(0.5, 0.9))
    metal = Part(join([foot, pole]).moved(0, radius), paint.metal())
    cloth = Part(shade.moved(0, radius), paint.plain("beige", emission=rng.uniform(0, 0.7)))
    return [Item("lamp", [metal, cloth])]


def table_lamp(rng: np.random.Generator, paint: Paint) -> Group:
    """A turned foot and a shade."""
    height, radius = rng.uniform(0.3, 0.5), rng.uniform(0.09, 0.14)
    foot = [(0, 0), (0.07, 0), (0.06, 0.03), (0.02, height * 0.3), (0.05, height * 0.45)]
    base = lathe([*foot, (0.012, height * 0.6), (0.012, height * 0.9)], 18)
    shade = cylinder(radius, (height * 0.55, height), 20, top=rng.uniform(0.5, 0.8))
    cloth = paint.plain("beige", emission=rng.uniform(0, 0.8))
    return [Item("lamp", [Part(base, paint("lamp")), Part(shade, cloth)])]


def ceiling_lamp(rng: np.random.Generator, paint: Paint) -> Group:
    """A globe or bowl that hangs from z = 0 downwards."""
    drop, radius = rng.uniform(0.1, 0.3), rng.uniform(0.12, 0.18)
    cord = cylinder(0.008, (-drop, 0), 6)
    globe = cushion((-radius, radius), (-radius, radius), (-drop - radius * 1.6, -drop), 2)
    return [
        Item(
            "lamp",
            [Part(cord, paint.plain("dark")), Part(globe, paint.plain("white", emission=0.9))],
        )
    ]


def books(rng: np.random.Generator, paint: Paint) -> Group:
    """A pile of one to five books."""
    parts, z = [], 0.0
    for _ in range(rng.integers(1, 6)):
        x, y, thick = rng.uniform(0.08, 0.13), rng.uniform(0.1, 0.15), rng.uniform(0.015, 0.045)
        book = box((-x, x), (-y, y), (z, z + thick)).moved(turn=rng.normal(0, 0.2))
        colours = (paint.colour(), paint.colour(), paint.colour())
        parts.append(Part(book.moved(0, 0.15), Material("spines", colours, seed=paint.seed())))
        z += thick
    return [Item("books", parts)]


def vase(rng: np.random.Generator, paint: Paint) -> Group:
    """A vessel turned from a random profile."""
    height, radius = rng.uniform(0.15, 0.4), rng.uniform(0.05, 0.11)
    widths = radius * rng.uniform(0.45, 1.0, 4)
    levels = np.linspace(0, height, 4)
    outside = [(float(r), float(z)) for r, z in zip(widths, levels, strict=True)]
    inside = [
        (outside[-1][0] * 0.85, height),
        (outside[-1][0] * 0.7, height * 0.8),
        (0, height * 0.7),
    ]
    return [
        Item("vase", [Part(lathe([(0, 0), *outside, *inside], 22).moved(0, radius), paint("vase"))])
    ]


def bowl(rng: np.random.Generator, paint: Paint) -> Group:
    """A bowl with a few balls (fruit) in it."""
    radius, height = rng.uniform(0.1, 0.17), rng.uniform(0.06, 0.1)
    profile = [(0, 0), (radius * 0.5, 0), (radius * 0.85, height * 0.5), (radius, height)]
    profile += [(radius * 0.94, height), (radius * 0.7, height * 0.4), (0, 0.02)]
    parts = [Part(lathe(profile, 24).moved(0, radius), paint("bowl"))]
    for _ in range(rng.integers(0, 5)):
        x, y = rng.uniform(-0.5, 0.5, 2) * radius
        fruit = cushion((x - 0.035, x + 0.035), (y - 0.035, y + 0.035), (0.03, 0.10), 2)
        parts.append(
            Part(fruit.moved(0, radius), paint.plain(str(rng.choice(["red", "yellow", "green"]))))
        )
    return [Item("bowl", parts)]


def cup(rng: np.random.Generator, paint: Paint) -> Group:
    """A mug."""
    radius, height = rng.uniform(0.035, 0.05), rng.uniform(0.08, 0.13)
    profile = [
        (0, 0),
        (radius, 0),
        (radius, height),
        (radius * 0.88, height),
        (radius * 0.85, 0.02),
        (0, 0.02),
    ]
    handle = box((radius - 0.005, radius + 0.03), (-0.006, 0.006), (height * 0.25, height * 0.75))
    return [Item("cup", [Part(join([lathe(profile, 18), handle]).moved(0, radius), paint("cup"))])]


def ball(rng: np.random.Generator, paint: Paint) -> Group:
    """A ball of up to a gymnastic ball's size."""
    radius = rng.uniform(0.1, 0.3)
    sphere = cushion((-radius, radius), (0, 2 * radius), (0, 2 * radius), 2)
    return [Item("ball", [Part(sphere, paint("ball"))])]


def carton(rng: np.random.Generator, paint: Paint) -> Group:
    """A cardboard box, perhaps with an open flap."""
    x, y, z = rng.uniform(0.12, 0.26), rng.uniform(0.2, 0.42), rng.uniform(0.15, 0.4)
    solids = [box((-x, x), (0, y), (0, z))]
    if rng.random() < 0.5:
        flap = box((-x, x), (y, y + 0.12), (z - 0.006, z))
        solids.append(flap.posed(tilt_matrix(rng.uniform(-0.8, 0.8), (0, y, z))))
    return [Item("box", [Part(join(solids), paint("box"))])]


def monitor(rng: np.random.Generator, paint: Paint) -> Group:
    """A screen on a foot."""
    half, height = rng.uniform(0.22, 0.34), rng.uniform(0.28, 0.38)
    screen = box((-half, half), (0.08, 0.11), (0.1, 0.1 + height))
    picture = box((-half + 0.015, half - 0.015), (0.11, 0.113), (0.115, 0.085 + height))
    foot = join(
        [box((-0.12, 0.12), (0.02, 0.2), (0, 0.015)), box((-0.03, 0.03), (0.06, 0.09), (0, 0.2))]
    )
    image = paint.art("abstract", half, emission=rng.uniform(0.2, 0.7))
    return [
        Item("monitor", [Part(join([screen, foot]), paint.plain("dark")), Part(picture, image)])
    ]


def tv(rng: np.random.Generator, paint: Paint) -> Group:
    """A television, on or off."""
    half = rng.uniform(0.4, 0.6)
    height = half * 1.15
    screen = box((-half, half), (0.1, 0.14), (0.06, 0.06 + height))
    picture = box((-half + 0.02, half - 0.02), (0.14, 0.143), (0.08, 0.04 + height))
    foot = box((-half * 0.5, half * 0.5), (0.04, 0.24), (0, 0.06))
    is_on = rng.random() < 0.4
    image = paint.art("landscape", half * 2, emission=0.6) if is_on else paint.plain("dark")
    return [Item("tv", [Part(join([screen, foot]), paint.plain("dark")), Part(picture, image)])]


def plant(rng: np.random.Generator, paint: Paint) -> Group:
    """A pot with a bush of leaves."""
    scale = rng.uniform(0.5, 1.3)
    pot = cylinder(0.1 * scale, (0, 0.2 * scale), 18, top=1.3)
    leaves = []
    for _ in range(rng.integers(8, 16)):
        long = rng.uniform(0.15, 0.3) * scale
        leaf = cushion((-0.05 * scale, 0.05 * scale), (0, long), (-0.008, 0.008), 2)
        leaf = leaf.posed(tilt_matrix(rng.uniform(0.2, 1.4), (0, 0, 0)))
        leaves.append(leaf.moved(0, 0, rng.uniform(0.18, 0.4) * scale, rng.uniform(0, 2 * np.pi)))
    stem = cylinder(0.012 * scale, (0.1 * scale, 0.42 * scale), 6)
    reach = 0.15 * scale
    green = paint.plain("green")
    return [
        Item(
            "plant",
            [
                Part(pot.moved(0, reach), paint("vase")),
                Part(join([*leaves, stem]).moved(0, reach), green),
            ],
        )
    ]


def pillow(rng: np.random.Generator, paint: Paint) -> Group:
    """A pillow that leans backwards."""
    half = rng.uniform(0.18, 0.24)
    pad = cushion((-half, half), (0, 0.14), (0, 2 * half), 3)
    return [Item("pillow", [Part(pad.posed(tilt_matrix(0.3, (0, 0, 0))), paint("pillow"))])]
