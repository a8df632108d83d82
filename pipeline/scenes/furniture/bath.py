"""What stands in a bathroom."""

import numpy as np

from pipeline.scenes.furniture.item import Group, Item, Part, Top
from pipeline.scenes.furniture.storage import faucet
from pipeline.scenes.materials import Paint
from pipeline.scenes.solids import box, cushion, cylinder, join, lathe, wavy_sheet


def toilet(rng: np.random.Generator, paint: Paint) -> Group:
    """Foot and bowl, ring seat, raised or closed lid, and a cistern."""
    rim, half = rng.uniform(0.38, 0.43), rng.uniform(0.17, 0.2)
    long = rng.uniform(1.15, 1.35)
    centre = 0.2 + half * long
    profile = [(0, 0), (half * 0.55, 0), (half * 0.5, 0.12), (half * 0.95, rim - 0.03), (half, rim)]
    inside = [(half * 0.75, rim), (half * 0.55, rim - 0.14), (0, rim - 0.2)]
    bowl = lathe([*profile, *inside], 28, (1, long)).moved(0, centre)
    ring = [
        (half * 0.72, rim),
        (half * 1.03, rim),
        (half * 1.03, rim + 0.02),
        (half * 0.72, rim + 0.02),
    ]
    seat = lathe([*ring, ring[0]], 28, (1, long)).moved(0, centre)
    foot = box((-half * 0.5, half * 0.5), (0.05, centre), (0, rim - 0.06))
    tank = cushion((-0.2, 0.2), (0, 0.19), (rim - 0.02, rim + rng.uniform(0.3, 0.42)), 12)
    parts = [bowl, foot, tank]
    if rng.random() < 0.5:
        lid = lathe([(0, 0), (half, 0), (half, 0.02), (0, 0.02)], 28, (1, long))
        parts.append(lid.moved(0, centre, rim + 0.021))
    else:
        parts.append(cushion((-half, half), (0.2, 0.225), (rim + 0.02, rim + 0.40), 6))
    knob = cylinder(0.02, (0, 0.012), 12).moved(0, 0.1, float(tank.vertices[:, 2].max()))
    main = paint("toilet")
    return [
        Item(
            "toilet",
            [Part(join(parts), main), Part(seat, main), Part(knob, paint.plain("grey"))],
            [Top((-0.15, 0.15), (0.03, 0.15), float(tank.vertices[:, 2].max()))],
        )
    ]


def sink(rng: np.random.Generator, paint: Paint) -> Group:
    """A washbasin on a pedestal, or let into a cabinet of its own."""
    rim, half = rng.uniform(0.8, 0.88), rng.uniform(0.24, 0.32)
    centre = half * 0.8 + 0.06
    profile = [(0.08, rim - 0.2), (half * 0.7, rim - 0.14), (half, rim - 0.02), (half, rim)]
    inside = [(half * 0.9, rim), (half * 0.6, rim - 0.12), (0, rim - 0.15)]
    bowl = lathe([*profile, *inside], 28, (1, 0.8)).moved(0, centre)
    back = box((-half * 0.8, half * 0.8), (0, 0.12), (rim - 0.06, rim))
    main = paint("sink")
    tap = Part(faucet(0.12, 0.13).moved(0, 0.07, rim), paint.plain("grey"))
    if rng.random() < 0.5:
        stand = lathe([(0, 0), (0.13, 0), (0.08, 0.3), (0.12, rim - 0.17)], 18).moved(
            0, centre - 0.04
        )
        return [Item("sink", [Part(join([bowl, back, stand]), main), tap])]
    width, deep = half * 0.95, half * 1.5
    body = box((-width, width), (0, deep), (0.12, rim - 0.17))
    doors = [
        box((x, x + width - 0.01), (deep, deep + 0.018), (0.13, rim - 0.18)) for x in (-width, 0.01)
    ]
    cupboard = Item("cabinet", [Part(join([body, *doors]), paint("cabinet"))])
    return [Item("sink", [Part(join([bowl, back]), main), tap]), cupboard]


def bathtub(rng: np.random.Generator, paint: Paint) -> Group:
    """An oval tub on its own, or a rectangular one; a shower curtain hangs before half of it."""
    half, width, rim = rng.uniform(0.78, 0.9), rng.uniform(0.72, 0.82), rng.uniform(0.52, 0.62)
    main = paint("bathtub")
    if rng.random() < 0.5:
        radius = width / 2
        outside = [(radius * 0.6, 0), (radius * 0.9, 0.18), (radius, rim - 0.02), (radius, rim)]
        inside = [(radius * 0.92, rim), (radius * 0.8, 0.25), (radius * 0.55, 0.12), (0, 0.12)]
        tub = lathe([(0, 0), *outside, *inside], 36, (half / radius, 1)).moved(0, radius)
    else:
        wall = 0.07
        tub = join(
            [
                box((-half, half), (0, width), (0, 0.12)),
                box((-half, -half + wall), (0, width), (0.12, rim)),
                box((half - wall, half), (0, width), (0.12, rim)),
                box((-half + wall, half - wall), (0, wall), (0.12, rim)),
                box((-half + wall, half - wall), (width - wall, width), (0.12, rim)),
            ]
        )
    tap = faucet(0.16, 0.12).moved(0, 0.04, rim)
    items = [Item("bathtub", [Part(tub, main), Part(tap, paint.plain("grey"))])]
    side, cover = rng.choice([-1, 1]), rng.uniform(0.5, 0.9)
    cloth = wavy_sheet(cover, (0.35, 2.02), 0.03, cover * 7)
    cloth = cloth.moved(float(side) * (half - cover / 2), width + 0.05)
    rod = box((-half, half), (width + 0.04, width + 0.06), (2.02, 2.04))
    items.append(
        Item(
            "shower curtain",
            [Part(cloth, paint("shower curtain")), Part(rod, paint.plain("grey"))],
        )
    )
    return items


def radiator(rng: np.random.Generator, paint: Paint) -> Group:
    """A ribbed radiator on the wall."""
    half, top = rng.uniform(0.35, 0.6), rng.uniform(0.55, 0.7)
    ribs = [
        box((x - 0.022, x + 0.022), (0.03, 0.13), (0.12, top))
        for x in np.arange(-half + 0.03, half - 0.02, 0.06)
    ]
    pipes = [box((-half, half), (0.06, 0.10), (z, z + 0.04)) for z in (0.16, top - 0.08)]
    return [Item("radiator", [Part(join([*ribs, *pipes]), paint("radiator"))])]
