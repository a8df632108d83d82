"""Things to sit and lie on."""

from itertools import pairwise

import numpy as np

from pipeline.scenes.furniture.item import Group, Item, Part, Top, four_legs
from pipeline.scenes.materials import Paint
from pipeline.scenes.solids import box, cushion, cylinder, join, tilt_matrix


def chair(rng: np.random.Generator, paint: Paint) -> Group:
    """Four thin legs, a seat, and a back of slats or of one panel."""
    width, depth = rng.uniform(0.40, 0.50), rng.uniform(0.40, 0.50)
    seat, back = rng.uniform(0.43, 0.48), rng.uniform(0.80, 1.02)
    half, thickness = width / 2, rng.uniform(0.025, 0.045)
    frame = four_legs((-half, half), (0, depth), seat, thickness, bool(rng.random() < 0.6))
    posts = [
        box((x, x + thickness), (0, thickness), (seat, back)) for x in (-half, half - thickness)
    ]
    inner = (-half + thickness, half - thickness)
    if rng.random() < 0.6:
        n_slats = int(rng.integers(2, 6))
        places = np.linspace(*inner, n_slats + 2)[1:-1]
        rest = [box((x - 0.02, x + 0.02), (0.008, 0.022), (seat, back - 0.06)) for x in places]
        rest.append(box((-half, half), (0.004, 0.03), (back - 0.08, back)))
    else:
        rest = [cushion((-half, half), (0, 0.05), (seat + 0.12, back), 8)]
    tilt = tilt_matrix(rng.uniform(0.05, 0.18), (0, 0, seat))
    rest = [solid.posed(tilt) for solid in [*posts, *rest]]
    main = paint("chair")
    if rng.random() < 0.5:
        pad = cushion((-half, half), (0.01, depth), (seat - 0.02, seat + 0.05), 6)
    else:
        pad = box((-half, half), (0, depth), (seat - 0.02, seat + 0.015))
    wooden = main if rng.random() < 0.5 else paint.metal()
    seat_material = paint("chair") if rng.random() < 0.4 else main
    return [
        Item(
            "chair",
            [Part(join(frame), wooden), Part(join(rest), main), Part(pad, seat_material)],
            [Top((-half, half), (0.08, depth), seat + 0.05)],
        )
    ]


def office_chair(rng: np.random.Generator, paint: Paint) -> Group:
    """Five-pointed foot on castors, a pole, seat, back and perhaps arms."""
    seat, half = rng.uniform(0.44, 0.54), rng.uniform(0.22, 0.26)
    centre = half
    arms = [
        box((0, 0.28), (-0.02, 0.02), (0.06, 0.10)).moved(0, centre, turn=i * 2 * np.pi / 5)
        for i in range(5)
    ]
    castors = [
        cushion((0.25, 0.31), (-0.03, 0.03), (0, 0.06), 2).moved(0, centre, turn=i * 2 * np.pi / 5)
        for i in range(5)
    ]
    pole = cylinder(0.025, (0.08, seat - 0.03), 12).moved(0, centre)
    pad = cushion((-half, half), (0.02, 2 * half), (seat - 0.04, seat + 0.05), 4)
    top = seat + rng.uniform(0.40, 0.62)
    back = cushion((-half * 0.9, half * 0.9), (-0.02, 0.06), (seat + 0.12, top), 5)
    stay = box((-0.03, 0.03), (-0.03, 0.0), (seat - 0.02, seat + 0.3))
    metal = [*arms, *castors, pole, stay]
    if rng.random() < 0.6:
        for side in (-1, 1):
            x = sorted((side * half, side * (half + 0.04)))
            metal.append(box((x[0], x[1]), (0.10, 0.36), (seat + 0.20, seat + 0.23)))
            metal.append(box((x[0], x[1]), (0.20, 0.24), (seat - 0.02, seat + 0.20)))
    main = paint("office chair")
    return [
        Item(
            "office chair",
            [Part(join(metal), paint.plain("dark")), Part(pad, main), Part(back, main)],
        )
    ]


def _upholstered(rng: np.random.Generator, paint: Paint, category: str, n_seats: int) -> Group:
    seat_width, arm = rng.uniform(0.55, 0.68), rng.uniform(0.10, 0.22)
    half = (n_seats * seat_width) / 2 + arm
    depth, seat = rng.uniform(0.78, 0.95), rng.uniform(0.38, 0.46)
    back, arm_top = rng.uniform(0.72, 0.95), rng.uniform(0.52, 0.66)
    power = rng.uniform(4, 10)
    body = [
        box((-half + 0.02, half - 0.02), (0.04, depth - 0.02), (0.10, seat - 0.12)),
        cushion((-half, half), (0, 0.24), (0.08, back), power * 2),
        cushion((-half, -half + arm), (0.02, depth), (0.08, arm_top), power),
        cushion((half - arm, half), (0.02, depth), (0.08, arm_top), power),
    ]
    edges = np.linspace(-half + arm, half - arm, n_seats + 1)
    pads = []
    for x0, x1 in pairwise(edges):
        pads.append(cushion((x0, x1), (0.18, depth), (seat - 0.15, seat), 6))
        rest = cushion((x0, x1), (0.16, 0.34), (seat - 0.02, back - 0.02), 5)
        pads.append(rest.posed(tilt_matrix(0.12, (0, 0.2, seat))))
    feet = four_legs((-half + 0.04, half - 0.04), (0.06, depth - 0.04), 0.11, 0.05, True)
    main = paint(category)
    pad_material = main if rng.random() < 0.7 else paint(category)
    seats = Top((-half + arm, half - arm), (0.36, depth - 0.1), seat)
    return [
        Item(
            category,
            [
                Part(join(body), main),
                Part(join(pads), pad_material),
                Part(join(feet), paint.metal()),
            ],
            [seats],
        )
    ]


def couch(rng: np.random.Generator, paint: Paint) -> Group:
    """A sofa of two or three seats."""
    return _upholstered(rng, paint, "couch", int(rng.integers(2, 4)))


def armchair(rng: np.random.Generator, paint: Paint) -> Group:
    """A sofa of one seat."""
    return _upholstered(rng, paint, "armchair", 1)


def bed(rng: np.random.Generator, paint: Paint) -> Group:
    """Frame with headboard, mattress, a blanket over part of it, and pillows of their own."""
    half, length = rng.uniform(0.45, 0.85), rng.uniform(1.90, 2.10)
    base, top = rng.uniform(0.22, 0.32), rng.uniform(0.45, 0.60)
    head = rng.uniform(0.80, 1.25)
    frame = [
        box((-half, half), (0.05, length), (base - 0.12, base)),
        box((-half - 0.02, half + 0.02), (0, 0.06), (0, head)),
        *four_legs((-half, half), (0.06, length), base, 0.07, False),
    ]
    if rng.random() < 0.5:
        frame.append(box((-half, half), (length, length + 0.05), (0, base + 0.25)))
    mattress = cushion((-half + 0.01, half - 0.01), (0.06, length - 0.01), (base, top), 14)
    start = rng.uniform(0.5, 1.0)
    blanket = cushion((-half - 0.02, half + 0.02), (start, length), (base - 0.02, top + 0.04), 14)
    cloth = paint("bed")
    items = [
        Item(
            "bed",
            [
                Part(join(frame), paint("nightstand")),
                Part(mattress, paint.plain("white")),
                Part(blanket, cloth),
            ],
            [Top((-half + 0.1, half - 0.1), (start + 0.1, length - 0.2), top + 0.04)],
        )
    ]
    n_pillows = 1 if half < 0.6 else 2
    pillow_cloth = paint("pillow")
    for x in np.linspace(-half, half, 2 * n_pillows + 1)[1::2]:
        pad = cushion((x - 0.30, x + 0.30), (0.08, 0.46), (top - 0.02, top + 0.12), 3)
        items.append(
            Item("pillow", [Part(pad.posed(tilt_matrix(-0.12, (0, 0.3, top))), pillow_cloth)])
        )
    return items


def ottoman(rng: np.random.Generator, paint: Paint) -> Group:
    """A round or square footstool."""
    half, height = rng.uniform(0.20, 0.32), rng.uniform(0.35, 0.46)
    if rng.random() < 0.5:
        body = cylinder(half, (0.03, height), 28).moved(0, half)
    else:
        body = cushion((-half, half), (0, 2 * half), (0.03, height), 8)
    top = Top((-half / 2, half / 2), (half / 2, 1.5 * half), height)
    return [Item("ottoman", [Part(body, paint("ottoman"))], [top])]
