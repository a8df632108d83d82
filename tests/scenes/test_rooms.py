"""Rooms hold together: nothing overlaps, everything is inside, the camera has a place."""

import numpy as np
import pytest

from pipeline.config import Rooms
from pipeline.readers.labels import SCANNET20
from pipeline.scenes.camera_path import HEIGHTS_M, look_along, standing_room, walk
from pipeline.scenes.categories import NYU40_IDS
from pipeline.scenes.placement import CELL_M
from pipeline.scenes.rooms import Room, design_room, room_use
from pipeline.scenes.walls import THICKNESS_M, Wall, draw_outline, walls_of

SHELL = {"wall", "floor", "ceiling", "rug", "door", "window", "curtain"}


@pytest.fixture(scope="module")
def rooms() -> list[Room]:
    return [design_room(np.random.default_rng([3, n]), n, Rooms()) for n in range(10)]


def extents(room: Room) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Category, bounding box in the room, and pose of every item."""
    found = []
    for one in room.placed:
        vertices = np.concatenate([part.solid.vertices for part in one.item.parts])
        vertices = vertices @ one.T_room_item[:3, :3].T + one.T_room_item[:3, 3]
        box = np.array([vertices.min(0), vertices.max(0)])
        found.append((one.item.category, box, one.T_room_item))
    return found


def test_outline_is_counter_clockwise_with_right_angles() -> None:
    for seed in range(30):
        outline = draw_outline(np.random.default_rng(seed), (3.2, 5.5))
        x, y = outline.T
        area = 0.5 * (x * np.roll(y, -1) - y * np.roll(x, -1)).sum()
        assert area > 0.5 * 3.2 * 3.2
        edges = np.roll(outline, -1, 0) - outline
        assert np.abs((edges * np.roll(edges, -1, 0)).sum(1)).max() < 1e-9
        np.testing.assert_allclose(outline.min(0), 0, atol=1e-9)
        assert outline.max() <= 5.5 + 1e-9


def test_walls_face_the_room() -> None:
    outline = draw_outline(np.random.default_rng(1), (3.2, 5.5))
    for wall in walls_of(outline):
        start, inwards = wall.T_room_wall[:2, 3], wall.T_room_wall[:2, 1]
        assert (start >= -1e-9).all()
        middle = start + wall.T_room_wall[:2, 0] * wall.length / 2 + inwards * 0.05
        assert (middle > 0).all()
        assert (middle < outline.max(0)).all()


def test_wall_knows_what_is_free() -> None:
    wall = Wall(np.eye(4), 4.0, (0.0, 4.0), used=[((1, 2), (0, 1))])
    assert wall.is_free((2, 3), (0, 1))
    assert wall.is_free((1, 2), (1, 2))
    assert not wall.is_free((1.5, 3), (0.5, 2))


def test_everything_is_inside(rooms: list[Room]) -> None:
    for room in rooms:
        boxes = {category: box for category, box, _ in extents(room)}
        limit = boxes["floor"][1]
        for category, box, _ in extents(room):
            if category in ("floor", "ceiling"):
                continue
            assert (box[0] > [-THICKNESS_M - 0.02, -THICKNESS_M - 0.02, -0.01]).all(), category
            assert (box[1] < [*(limit[:2] + THICKNESS_M + 0.02), room.height + 0.01]).all(), (
                category
            )


def test_furniture_does_not_overlap(rooms: list[Room]) -> None:
    for room in rooms:
        boxes = [e for e in extents(room) if e[0] not in SHELL]
        for i, (_, a, pose_a) in enumerate(boxes):
            for name, b, pose_b in boxes[i + 1 :]:
                depth = (np.minimum(a[1], b[1]) - np.maximum(a[0], b[0])).min()
                # Parts of one group share a pose; boxes of turned chairs are larger than chairs;
                # a cushion sinks a little into its sofa, books stand in a shelf's box.
                is_small = min(np.prod(a[1] - a[0]), np.prod(b[1] - b[0])) < 0.08
                if not is_small and not np.array_equal(pose_a, pose_b):
                    assert depth < 0.16, (room.use, name, a, b)


def test_ten_rooms_hold_all_classes(rooms: list[Room]) -> None:
    found = {NYU40_IDS[one.item.category] for room in rooms for one in room.placed}
    assert set(SCANNET20) <= found
    assert {room_use(n) for n in range(16, 20)} | {room_use(0)} == {room_use(n) for n in range(5)}


def test_rooms_vary_in_shape_and_material(rooms: list[Room]) -> None:
    walls = {sum(one.item.category == "wall" for one in room.placed) for room in rooms}
    assert {4, 6} <= walls or {4, 8} <= walls
    colours = {
        one.item.parts[0].material for r in rooms for one in r.placed if one.item.category == "wall"
    }
    assert len(colours) >= len(rooms)


def test_camera_poses_are_rigid_level_and_in_the_walkable_room(rooms: list[Room]) -> None:
    for number, room in enumerate(rooms):
        targets = np.array([one.T_room_item[:3, 3] for one in room.placed])
        poses = walk(np.random.default_rng(number), room.walkable, targets, 24)
        rotation, position = poses[:, :3, :3], poses[:, :3, 3]
        np.testing.assert_allclose(
            rotation @ rotation.swapaxes(1, 2), np.broadcast_to(np.eye(3), (24, 3, 3)), atol=1e-12
        )
        np.testing.assert_allclose(np.linalg.det(rotation), 1)
        assert (position[:, 2] >= HEIGHTS_M[0]).all()
        assert (position[:, 2] <= HEIGHTS_M[1]).all()
        column, row = (position[:, :2] / CELL_M).astype(int).T
        assert room.walkable[row, column].all()
        # The image's upward direction is about the room's.
        assert (-rotation[:, 2, 1]).min() > 0.5
        # A whole turn and more.
        yaw = np.unwrap(np.arctan2(rotation[:, 1, 2], rotation[:, 0, 2]))
        assert np.ptp(yaw) > 1.4 * np.pi


def test_look_along_axes() -> None:
    pose = look_along(np.zeros(3), yaw=0.0, pitch=0.0, roll=0.0)
    np.testing.assert_allclose(pose[:3, :3].T, [[0, -1, 0], [0, 0, -1], [1, 0, 0]], atol=1e-12)


def test_standing_room_is_one_piece_away_from_walls() -> None:
    walkable = np.ones((60, 60), bool)
    walkable[:, 20] = False
    places = standing_room(walkable)
    assert places[:, 0].min() > 21 * CELL_M + 0.25
    assert places.max() < 3.0 - 0.25


def test_same_seed_same_room() -> None:
    first, second = (design_room(np.random.default_rng(5), 2, Rooms()) for _ in range(2))
    for a, b in zip(extents(first), extents(second), strict=True):
        assert a[0] == b[0]
        np.testing.assert_array_equal(a[1], b[1])
