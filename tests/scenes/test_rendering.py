"""Rendered depth against ray-plane geometry, and frames against each other."""

from itertools import pairwise

import numpy as np
import pytest

from pipeline.config import Rooms
from pipeline.geometry import camera
from pipeline.scenes.assembly import assemble
from pipeline.scenes.camera_path import look_along, walk
from pipeline.scenes.furniture import Item, Part
from pipeline.scenes.materials import Material
from pipeline.scenes.placement import Placed
from pipeline.scenes.recording import Camera
from pipeline.scenes.rendering import Renderer, expose
from pipeline.scenes.rooms import Light, design_room
from pipeline.scenes.solids import box, yaw_matrix

K = np.array([[100.0, 0, 49.5], [0, 100.0, 29.5], [0, 0, 1]])
SIZE = (60, 100)
WHITE = Material("plain", ((0.9, 0.9, 0.9),) * 3)
LAMP = Light(np.array([0.0, 0.0, 3.0]), np.array([4.0, 4.0, 4.0]))


def slab_and_block() -> Renderer:
    """A floor, and a block that hides a part of it from the lamp."""
    floor = Item("floor", [Part(box((-3, 3), (-3, 3), (-0.1, 0)), WHITE)])
    block = Item("table", [Part(box((-0.3, 0.3), (-0.3, 0.3), (0, 0.5)), WHITE)])
    placed = [Placed(floor, np.eye(4)), Placed(block, yaw_matrix(0.0, 1.0))]
    return Renderer(assemble(placed), [LAMP], np.full(3, 0.1))


def test_depth_is_along_z_and_instances_are_right() -> None:
    pose = look_along(np.array([-2.5, 0.0, 1.5]), yaw=0.0, pitch=-0.5, roll=0.1)
    renderer = slab_and_block()
    view = renderer.cast(K, SIZE, pose)
    # The ray of a pixel meets z = 0 at parameter -height / slope.
    v, u = np.mgrid[: SIZE[0], : SIZE[1]]
    rays = np.stack([(u - 49.5) / 100, (v - 29.5) / 100, np.ones(SIZE)], -1) @ pose[:3, :3].T
    instance = np.where(view.face >= 0, renderer.triangles.instance[view.face], -1)
    on_floor = instance == 0
    # Not the slab's edges.
    top = on_floor & (np.abs(view.xyz[..., 2]) < 1e-3)
    np.testing.assert_allclose(view.depth[top], (-1.5 / rays[..., 2])[top], rtol=1e-4)
    assert (instance == 1).sum() > 50
    assert (view.xyz[instance == 1][:, 2] > -1e-3).all()
    assert (view.depth[instance == -1] == 0).all()


def test_lamp_lights_the_floor_and_the_block_casts_a_shadow() -> None:
    renderer = slab_and_block()
    down = look_along(np.array([1.0, 0.0, 4.0]), yaw=0.0, pitch=-np.pi / 2 + 1e-3, roll=0.0)
    view = renderer.cast(K, SIZE, down)
    light = renderer.radiance(np.random.default_rng(0), view)[..., 0]

    def at(x: float, y: float) -> float:
        """Mean light near a place on the floor."""
        near = np.hypot(view.xyz[..., 0] - x, view.xyz[..., 1] - y) < 0.08
        return float(light[near & (view.xyz[..., 2] < 0.01)].mean())

    assert at(1.42, 0.0) < 0.5 * at(0.55, 0.0)
    # The lamp stands over x = 0: the farther away, the darker.
    assert at(0.3, 0.7) > at(1.5, 0.8) > at(2.0, 0.9)


@pytest.fixture(scope="module")
def noise_free() -> tuple[Camera, np.ndarray]:
    params = Rooms(depth_noise=0.0, depth_size=(120, 160))
    room = design_room(np.random.default_rng(2), 2, params)
    cam = Camera(Renderer(assemble(room.placed), room.lights, room.ambient), params)
    targets = np.array([one.T_room_item[:3, 3] for one in room.placed])
    return cam, walk(np.random.default_rng(0), room.walkable, targets, 12)


def test_points_of_one_frame_have_the_depth_of_the_next(noise_free: tuple) -> None:
    cam, poses = noise_free
    rng = np.random.default_rng(0)
    agree = total = 0
    for T_a, T_b in pairwise(poses):
        depth_a = (cam.measure_depth(rng, T_a) / np.float32(1000)).astype(np.float32)
        exact_b = cam.true_depth(T_b).depth
        xyz = camera.transform(T_a, camera.backproject(depth_a, cam.K_depth)[depth_a > 0])
        uv, z = camera.project(camera.transform(camera.invert_pose(T_b), xyz), cam.K_depth)
        column, row = np.rint(uv[z > 0.1]).astype(int).T
        inside = (column >= 0) & (column < 160) & (row >= 0) & (row < 120)
        seen = exact_b[row[inside], column[inside]]
        z = z[z > 0.1][inside]
        visible = seen > z - 0.1  # else something stands before the point
        agree += (np.abs(seen - z)[visible] < 0.03).sum()
        total += visible.sum()
    assert total > 20_000
    assert agree / total > 0.93


def test_camera_stands_free_and_sees_the_room(noise_free: tuple) -> None:
    cam, poses = noise_free
    for pose in poses:
        view = cam.true_depth(pose)
        assert (view.face >= 0).mean() > 0.999
        assert np.median(view.depth) > 0.7


def test_colour_and_depth_are_registered_as_scannets(noise_free: tuple) -> None:
    cam, _ = noise_free
    # Half a percent in height, as between 1296x968 and 640x480.
    scaled = camera.resize_intrinsics(cam.K_depth, (120, 160), cam.params.color_size)
    np.testing.assert_allclose(scaled, cam.K_color, rtol=6e-3)


def test_exposure_brightens_and_noise_stays_small() -> None:
    radiance = np.full((50, 60, 3), 0.3, np.float32)
    dark, bright = (expose(np.random.default_rng(0), radiance, e) for e in (0.5, 1.5))
    assert bright.mean() > dark.mean() + 30
    assert dark[20:30, 25:35].std() < 8
