"""What belongs to a wall: doors, windows, curtains, pictures, boards."""

import numpy as np

from pipeline.scenes.furniture.item import Group, Item, Part
from pipeline.scenes.materials import Material, Paint
from pipeline.scenes.solids import Interval, Solid, box, cushion, join, wavy_sheet


def _frame(x: Interval, y: Interval, z: Interval, bar: float) -> Solid:
    """Four bars along the border of a rectangle in the plane of the wall."""
    return join(
        [
            box((x[0], x[0] + bar), y, z),
            box((x[1] - bar, x[1]), y, z),
            box((x[0] + bar, x[1] - bar), y, (z[0], z[0] + bar)),
            box((x[0] + bar, x[1] - bar), y, (z[1] - bar, z[1])),
        ]
    )


def door(rng: np.random.Generator, paint: Paint, width: float, height: float) -> Item:
    """A closed door in a hole of the wall, with a casing and panels or a pane.

    The frame of all fixtures: x along the wall, y into the room, z up from the floor; the wall's
    surface is y = 0.
    """
    half = width / 2
    leaf = box((-half, half), (-0.06, -0.015), (0, height))
    main = paint("door")
    parts = [Part(leaf, main)]
    casing = join(
        [
            box((-half - 0.07, -half), (-0.02, 0.02), (0, height + 0.07)),
            box((half, half + 0.07), (-0.02, 0.02), (0, height + 0.07)),
            box((-half, half), (-0.02, 0.02), (height, height + 0.07)),
        ]
    )
    parts.append(Part(casing, paint.plain("white") if rng.random() < 0.5 else main))
    panels = []
    for z0, z1 in ((0.15, 0.9), (1.05, height - 0.15)):
        panels.append(_frame((-half + 0.12, half - 0.12), (-0.015, 0.0), (z0, z1), 0.04))
    if rng.random() < 0.7:
        second = main if rng.random() < 0.5 else paint("door")
        parts.append(Part(join(panels), second))
    side = float(rng.choice([-1, 1])) * (half - 0.07)
    reach = sorted((side, side - np.sign(side) * 0.13))
    knob = [
        box((side - 0.015, side + 0.015), (-0.015, 0.045), (1.0, 1.03)),
        box((reach[0], reach[1]), (0.03, 0.05), (1.0, 1.025)),
    ]
    parts.append(Part(join(knob), paint.metal()))
    return Item("door", parts)


def window(rng: np.random.Generator, paint: Paint, width: float, height: float) -> Item:
    """A window in a hole of the wall: frame, mullions, sill, and the view; its middle is z = 0."""
    half, z = width / 2, (-height / 2, height / 2)
    y = (-0.10, -0.04)
    bars = [_frame((-half, half), y, z, 0.06)]
    n_mullions = 0 if width < 0.7 else int(rng.integers(1, 3))
    inner = (z[0] + 0.06, z[1] - 0.06)
    for x in np.linspace(-half, half, n_mullions + 2)[1:-1]:
        bars.append(box((x - 0.025, x + 0.025), y, inner))
    if rng.random() < 0.5:
        middle = height * rng.uniform(0.0, 0.25)
        across = (y[0] + 0.005, y[1] - 0.005)
        bars.append(box((-half + 0.06, half - 0.06), across, (middle - 0.02, middle + 0.02)))
    bars.append(box((-half - 0.05, half + 0.05), (-0.04, 0.08), (z[0] - 0.035, z[0])))
    pane = box((-half, half), (-0.09, -0.08), z)
    view = paint.art("landscape", width, emission=1.0, glass=True)
    return Item("window", [Part(join(bars), paint.plain("white")), Part(pane, view)])


def curtain(rng: np.random.Generator, paint: Paint, width: float, z: Interval) -> Item:
    """Two lengths of cloth at the sides of a window, on a rod."""
    cover = width * rng.uniform(0.2, 0.42)
    reach = width / 2 + 0.12
    lengths = [
        wavy_sheet(cover, z, 0.03, max(2.0, cover * 9)).moved(side * (reach - cover / 2), 0.11)
        for side in (-1, 1)
    ]
    rod = box((-reach - 0.06, reach + 0.06), (0.10, 0.12), (z[1], z[1] + 0.02))
    ends = [
        cushion((x - 0.03, x + 0.03), (0.08, 0.14), (z[1] - 0.02, z[1] + 0.04), 2)
        for x in (-reach - 0.06, reach + 0.06)
    ]
    return Item(
        "curtain",
        [Part(join(lengths), paint("curtain")), Part(join([rod, *ends]), paint.metal())],
    )


def _panel(
    paint: Paint, category: str, size: Interval, art: Material, bar: float, deep: float
) -> Item:
    half_x, half_z = size[0] / 2, size[1] / 2
    parts = [Part(box((-half_x, half_x), (0.002, deep), (-half_z, half_z)), art)]
    if bar:
        border = _frame(
            (-half_x - bar, half_x + bar), (0.002, deep + 0.012), (-half_z - bar, half_z + bar), bar
        )
        parts.append(Part(border, paint.plain()))
    return Item(category, parts)


def picture(rng: np.random.Generator, paint: Paint) -> Group:
    """A framed painting; its middle is at z = 0."""
    size = (rng.uniform(0.45, 1.1), rng.uniform(0.4, 0.8))
    texture = "landscape" if rng.random() < 0.4 else "abstract"
    art = paint.art(texture, max(size) * rng.uniform(0.7, 1.2))
    return [_panel(paint, "picture", size, art, rng.uniform(0.02, 0.06), 0.022)]


def poster(rng: np.random.Generator, paint: Paint) -> Group:
    """An unframed poster; its middle is at z = 0."""
    size = (rng.uniform(0.45, 0.7), rng.uniform(0.6, 1.0))
    return [_panel(paint, "poster", size, paint.art("abstract", max(size)), 0.0, 0.012)]


def whiteboard(rng: np.random.Generator, paint: Paint) -> Group:
    """A whiteboard in an aluminium frame; its middle is at z = 0."""
    size = (rng.uniform(1.0, 1.6), rng.uniform(0.7, 0.95))
    return [_panel(paint, "whiteboard", size, paint.plain("white"), 0.025, 0.02)]
