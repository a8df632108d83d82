"""Tables and desks."""

import numpy as np

from pipeline.scenes.furniture.item import Group, Item, Part, Top, four_legs, fronts, handles
from pipeline.scenes.materials import Paint
from pipeline.scenes.solids import box, cylinder, join, lathe


def _table(
    rng: np.random.Generator,
    paint: Paint,
    category: str,
    size: tuple[float, float, float],
    is_round: bool,
) -> Group:
    width, depth, height = size
    half, thick = width / 2, rng.uniform(0.022, 0.05)
    main = paint(category)
    if is_round:
        half = depth / 2
        slab = cylinder(half, (height - thick, height), 32).moved(0, half)
        profile = [(0, 0), (half * 0.55, 0), (half * 0.5, 0.03), (0.05, 0.07), (0.04, height * 0.5)]
        foot = lathe([*profile, (0.06, height * 0.85), (0.14, height - thick)], 20).moved(0, half)
        reach = half * 0.65
        top = Top((-reach, reach), (half - reach, half + reach), height)
    else:
        slab = box((-half, half), (0, depth), (height - thick, height))
        inset = rng.uniform(0.0, 0.08)
        x, y = (-half + inset, half - inset), (inset, depth - inset)
        legs = four_legs(x, y, height - thick, rng.uniform(0.035, 0.075), bool(rng.random() < 0.5))
        if rng.random() < 0.5:
            under = (height - thick - 0.08, height - thick)
            legs.append(box((x[0], x[1]), (y[0] + 0.01, y[0] + 0.03), under))
            legs.append(box((x[0], x[1]), (y[1] - 0.03, y[1] - 0.01), under))
        foot = join(legs)
        top = Top((-half, half), (0, depth), height)
    leg_material = main if rng.random() < 0.6 else paint.metal()
    return [Item(category, [Part(slab, main), Part(foot, leg_material)], [top])]


def table(rng: np.random.Generator, paint: Paint) -> Group:
    """A dining table, round or rectangular."""
    size = (rng.uniform(1.0, 1.6), rng.uniform(0.7, 0.95), rng.uniform(0.70, 0.78))
    return _table(rng, paint, "table", size, bool(rng.random() < 0.45))


def coffee_table(rng: np.random.Generator, paint: Paint) -> Group:
    """A low table, round or rectangular."""
    size = (rng.uniform(0.8, 1.1), rng.uniform(0.5, 0.65), rng.uniform(0.38, 0.48))
    return _table(rng, paint, "coffee table", size, bool(rng.random() < 0.4))


def desk(rng: np.random.Generator, paint: Paint) -> Group:
    """A writing desk with drawers on one side, or on panel or thin legs."""
    half, depth, height = rng.uniform(0.55, 0.85), rng.uniform(0.58, 0.75), rng.uniform(0.71, 0.76)
    slab = box((-half, half), (0, depth), (height - 0.03, height))
    main = paint("desk")
    parts = [Part(slab, main)]
    side = 1 if rng.random() < 0.5 else -1
    if rng.random() < 0.6:
        x0, x1 = sorted((side * (half - 0.02), side * (half - 0.42)))
        body = box((x0, x1), (0.02, depth - 0.05), (0.05, height - 0.03))
        plates = fronts((x0, x1), depth - 0.05, (0.06, height - 0.04), 1, 3)
        far = sorted((-side * (half - 0.02), -side * (half - 0.05)))
        panel = box((far[0], far[1]), (0.02, depth - 0.04), (0, height - 0.03))
        parts.append(Part(join([body, panel]), main))
        parts.append(Part(join(plates), paint("desk")))
        parts.append(Part(join(handles(plates, True)), paint.metal()))
    else:
        legs = four_legs((-half, half), (0, depth), height - 0.03, rng.uniform(0.03, 0.06), False)
        legs.append(box((-half, half), (0.03, 0.05), (height - 0.35, height - 0.03)))
        parts.append(Part(join(legs), paint.metal() if rng.random() < 0.6 else main))
    return [Item("desk", parts, [Top((-half, half), (0.02, depth), height)])]
