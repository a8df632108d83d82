"""Solids against volumes known from geometry; furniture against its frame's promises."""

import numpy as np
import pytest

from pipeline.scenes.categories import NYU40_COLOURS, NYU40_IDS, NYU40_NAMES, label_table
from pipeline.scenes.furniture import FURNITURE
from pipeline.scenes.materials import Paint
from pipeline.scenes.solids import (
    Solid,
    box,
    corner_normals,
    cushion,
    cylinder,
    join,
    lathe,
    wavy_sheet,
    yaw_matrix,
)


def volume(solid: Solid) -> float:
    """Signed volume by the divergence theorem; positive if faces turn outwards."""
    a, b, c = (solid.vertices[solid.faces[:, i]].astype(np.float64) for i in range(3))
    return float(np.einsum("ni,ni->n", a, np.cross(b, c)).sum() / 6)


def test_box_volume() -> None:
    assert volume(box((1, 3), (-1, 0), (2, 2.5))) == pytest.approx(1.0)


def test_cylinder_volume_is_that_of_its_prism() -> None:
    area = 0.5 * 40 * 0.3**2 * np.sin(2 * np.pi / 40)
    assert volume(cylinder(0.3, (0.1, 1.1), sides=40)) == pytest.approx(area, rel=1e-5)


def test_ellipsoid_and_rounded_box_lie_between_ball_and_box() -> None:
    ball = volume(cushion((-1, 1), (-1, 1), (-1, 1), power=2))
    assert 0.92 < ball / (4 / 3 * np.pi) < 1
    assert ball < volume(cushion((-1, 1), (-1, 1), (-1, 1), power=12)) < 8


def test_vessel_holds_less_than_its_hull() -> None:
    outside = [(0, 0), (0.2, 0), (0.2, 0.3)]
    vessel = lathe([*outside, (0.18, 0.3), (0.18, 0.02), (0, 0.02)], 36)
    assert 0 < volume(vessel) < 0.3 * volume(lathe([*outside, (0, 0.3)], 36))


def test_sheet_has_its_thickness() -> None:
    sheet = wavy_sheet(1.0, (0, 2), 0.03, 5, thickness=0.02)
    # Two sides only: the closed edge strips make it a prism without caps.
    extent = np.ptp(sheet.vertices, axis=0)
    np.testing.assert_allclose(extent, [1.0, 0.08, 2.0], atol=4e-3)


def test_move_turns_then_shifts() -> None:
    moved = box((0, 1), (0, 2), (0, 3)).moved(x=5, turn=np.pi / 2)
    np.testing.assert_allclose(moved.vertices.min(0), [3, 0, 0], atol=1e-6)
    np.testing.assert_allclose(moved.vertices.max(0), [5, 1, 3], atol=1e-6)
    np.testing.assert_allclose(
        yaw_matrix(0.3)[:3, :3] @ yaw_matrix(-0.3)[:3, :3], np.eye(3), atol=1e-12
    )


def test_join_keeps_the_pieces() -> None:
    pieces = [box((0, 1), (0, 1), (0, 1)), cylinder(0.5, (0, 1))]
    assert volume(join(pieces)) == pytest.approx(sum(map(volume, pieces)))


def test_normals_are_flat_on_a_box_and_radial_on_a_ball() -> None:
    cube = box((-1, 1), (-1, 1), (-1, 1))
    normals = corner_normals(cube)
    assert (np.sort(np.abs(normals), -1)[..., :2] < 1e-6).all()
    ball = cushion((-1, 1), (-1, 1), (-1, 1), power=2)
    cosine = np.einsum("fci,fci->fc", corner_normals(ball), ball.vertices[ball.faces])
    area = np.linalg.norm(
        np.cross(*(np.diff(ball.vertices[ball.faces], axis=1).swapaxes(0, 1))), axis=1
    )
    assert cosine[area > 1e-6].min() > 0.97


@pytest.mark.parametrize("name", FURNITURE)
def test_furniture_keeps_to_its_frame(name: str) -> None:
    hangs = {"picture", "poster", "whiteboard", "ceiling_lamp"}
    for seed in range(6):
        rng = np.random.default_rng(seed)
        group = FURNITURE[name](rng, Paint(rng, 0.5))
        assert {item.category for item in group} <= set(NYU40_IDS)
        for item in group:
            for part in item.parts:
                assert np.isfinite(part.solid.vertices).all()
                assert 0 <= part.solid.faces.min() <= part.solid.faces.max()
                assert part.solid.faces.max() < len(part.solid.vertices)
            low, high = item.limits()
            assert (high - low).max() < 2.6
            assert (high - low).min() > 0.005
            if name not in hangs:
                assert low[2] > -0.08
            for top in item.tops:
                # A cushion on a seat may be lower than its back, never higher than the item.
                assert top.z <= high[2] + 0.01
                assert low[0] - 1e-6 <= top.x[0] <= top.x[1] <= high[0] + 1e-6


def test_furniture_varies_and_has_curved_and_thin_parts() -> None:
    heights = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        chair = FURNITURE["chair"](rng, Paint(rng, 0.5))[0]
        heights.append(np.ptp(chair.limits()[:, 2]))
        legs = chair.parts[0].solid
        assert np.ptp(legs.vertices[:, 2]) > 0.4
    assert np.ptp(heights) > 0.08


def test_label_table_and_colours() -> None:
    lines = label_table().splitlines()
    assert lines[0].split("\t")[:3] == ["id", "raw_category", "category"]
    rows = [dict(zip(lines[0].split("\t"), line.split("\t"), strict=True)) for line in lines[1:]]
    assert {row["raw_category"]: int(row["nyu40id"]) for row in rows} == NYU40_IDS
    assert set(NYU40_IDS.values()) == set(NYU40_NAMES)
    assert len(NYU40_COLOURS) == 41
