"""A recording of one embedded room: what ScanNet's camera and its annotators would have."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32, UInt8, UInt16

from pipeline.config import Rooms
from pipeline.geometry.camera import resize_intrinsics
from pipeline.geometry.fusion import FusionFrame, fuse_mesh
from pipeline.geometry.mesh import Mesh
from pipeline.readers.imaging import resize_color
from pipeline.scenes import kinect
from pipeline.scenes.assembly import assemble
from pipeline.scenes.camera_path import walk
from pipeline.scenes.categories import NYU40_IDS
from pipeline.scenes.rendering import Renderer, View, expose
from pipeline.scenes.rooms import Room, design_room
from pipeline.scenes.solids import yaw_matrix

#: ScanNet's calibration at its own sizes (height, width).
SCANNET_COLOR = np.array([[1170.187988, 0, 647.75], [0, 1170.187988, 483.75], [0, 0, 1]])
SCANNET_COLOR_SIZE = (968, 1296)
SCANNET_DEPTH = np.array([[577.870605, 0, 319.5], [0, 577.870605, 239.5], [0, 0, 1]])
SCANNET_DEPTH_SIZE = (480, 640)

#: Mean brightness that the automatic exposure aims at, and how much a frame misses it by.
EXPOSURE_TARGET, EXPOSURE_SPREAD = 0.36, 0.12
#: Fusion ends where the depth's noise exceeds the voxels.
FUSION_DEPTH_M = 4.0

#: What the person scans for: furniture, not what is seen anyway or too small to matter, cubic
#: metres of its bounding box.
_SEEN_ANYWAY = {"wall", "floor", "ceiling", "rug", "door", "window", "curtain"}
_TARGET_M3 = 0.04


@dataclass(frozen=True)
class RecordedFrame:
    """One frame as it is written.

    Attributes:
        color: uint8 (Hc, Wc, 3), RGB.
        depth_raw: uint16 (H, W), millimetres, 0 invalid; all 0 in a lost frame.
        T_world_camera: float64 (4, 4), metres; all -inf where tracking was lost.
        instance: int32 (Hc, Wc), instance at each pixel of the colour image, -1 none.
    """

    color: UInt8[np.ndarray, "hc wc 3"]
    depth_raw: UInt16[np.ndarray, "h w"]
    T_world_camera: Float64[np.ndarray, "4 4"]
    instance: Int32[np.ndarray, "hc wc"]


@dataclass(frozen=True)
class Recording:
    """All of one room.

    Attributes:
        number: of the room.
        use: ScanNet's sceneType.
        K_color: float64 (3, 3), pixels at the size of the colour images.
        K_depth: float64 (3, 3), pixels at the size of the depth images.
        T_room_world: float64 (4, 4), metres: makes walls parallel to the axes (axisAlignment).
        frames: in recording order.
        categories: raw ScanNet category of each instance.
        mesh: fused from the noisy depth, world; `label` holds NYU40 ids.
        vertex_instance: int32 (V,), instance of the true surface nearest to each vertex.
    """

    number: int
    use: str
    K_color: Float64[np.ndarray, "3 3"]
    K_depth: Float64[np.ndarray, "3 3"]
    T_room_world: Float64[np.ndarray, "4 4"]
    frames: list[RecordedFrame]
    categories: list[str]
    mesh: Mesh
    vertex_instance: Int32[np.ndarray, " v"]


class Camera:
    """A colour and a depth camera at one place, registered as ScanNet's are.

    Args:
        renderer: The room.
        params: Sizes and strength of the noise.
    """

    def __init__(self, renderer: Renderer, params: Rooms) -> None:
        self.renderer = renderer
        self.params = params
        self.K_color = resize_intrinsics(SCANNET_COLOR, SCANNET_COLOR_SIZE, params.color_size)
        self.K_depth = resize_intrinsics(SCANNET_DEPTH, SCANNET_DEPTH_SIZE, params.depth_size)
        self._metered = 0.0

    def photograph(
        self, rng: np.random.Generator, T_room_camera: Float64[np.ndarray, "4 4"]
    ) -> tuple[UInt8[np.ndarray, "hc wc 3"], Int32[np.ndarray, "hc wc"]]:
        """Colour image and the instance at each of its pixels."""
        view = self.renderer.cast(self.K_color, self.params.color_size, T_room_camera)
        radiance = self.renderer.radiance(rng, view)
        # The exposure follows the scene with a delay, as a camera's does.
        mean = float(radiance.mean())
        self._metered = 0.5 * (self._metered or mean) + 0.5 * mean
        drift = float(np.exp(rng.normal(0, EXPOSURE_SPREAD)))
        color = expose(rng, radiance, EXPOSURE_TARGET / max(self._metered, 1e-3) * drift)
        instance = np.where(view.face >= 0, self.renderer.triangles.instance[view.face], -1)
        return color, instance.astype(np.int32)

    def true_depth(self, T_room_camera: Float64[np.ndarray, "4 4"]) -> View:
        """The view of the depth camera without its faults."""
        return self.renderer.cast(self.K_depth, self.params.depth_size, T_room_camera)

    def measure_depth(
        self, rng: np.random.Generator, T_room_camera: Float64[np.ndarray, "4 4"]
    ) -> UInt16[np.ndarray, "h w"]:
        """The depth image that a Kinect reports, millimetres."""
        view, triangles = self.true_depth(T_room_camera), self.renderer.triangles
        projector = T_room_camera[:3, 3] + T_room_camera[:3, 0] * kinect.BASELINE_M
        towards = projector.astype(np.float32) - view.xyz
        # Starts a little off the surface, along the ray to the projector.
        shadowed = self.renderer.occluded(view.xyz + towards * np.float32(3e-3), towards, 0.99)
        is_glass = self.renderer.is_glass[triangles.part[view.face]]
        return kinect.measure(
            rng,
            view.depth,
            view.cosine,
            shadowed,
            is_glass,
            float(self.K_depth[0, 0]),
            self.params.depth_noise,
        )


def record_room(params: Rooms, number: int) -> Recording:
    """Make room `number` and record it.

    Args:
        params: Seed, sizes, noise.
        number: Number of the room. With `params.seed` the only source of randomness.

    Returns:
        The recording, held in memory (about 1 MB a frame).

    Raises:
        FusionError: no frame has depth and pose.
    """
    design_rng, path_rng, camera_rng, loss_rng = np.random.default_rng([params.seed, number]).spawn(
        4
    )
    room = design_room(design_rng, number, params)
    camera = Camera(Renderer(assemble(room.placed), room.lights, room.ambient), params)
    T_world_room = yaw_matrix(path_rng.uniform(-np.pi, np.pi), *path_rng.uniform(-1, 4, 3))
    T_world_room[2, 3] = path_rng.uniform(-0.1, 0.1)
    poses = walk(path_rng, room.walkable, _targets(room), params.frames_per_room)
    frames = [
        _record_frame(camera, camera_rng, loss_rng, pose, T_world_room, params) for pose in poses
    ]
    mesh = fuse_mesh(
        _fusible(frames, camera.K_depth), params.mesh_voxel_size_m, FUSION_DEPTH_M, min_weight=1.0
    )
    T_room_world = np.linalg.inv(T_world_room)
    vertex_instance = camera.renderer.nearest_instance(_moved(mesh.vertices, T_room_world))
    categories = camera.renderer.triangles.categories
    nyu40 = np.array([NYU40_IDS[category] for category in categories], np.uint16)
    return Recording(
        number=number,
        use=room.use,
        K_color=camera.K_color,
        K_depth=camera.K_depth,
        T_room_world=T_room_world,
        frames=frames,
        categories=categories,
        mesh=Mesh(mesh.vertices, mesh.faces, mesh.rgb, nyu40[vertex_instance]),
        vertex_instance=vertex_instance,
    )


def _record_frame(
    camera: Camera,
    rng: np.random.Generator,
    loss_rng: np.random.Generator,
    T_room_camera: np.ndarray,
    T_world_room: np.ndarray,
    params: Rooms,
) -> RecordedFrame:
    color, instance = camera.photograph(rng, T_room_camera)
    depth_raw = camera.measure_depth(rng, T_room_camera)
    is_depth_lost, is_pose_lost = loss_rng.random(2) < [
        params.lost_frame_fraction,
        params.lost_pose_fraction,
    ]
    # The file holds float32 poses; all that is made from the frames uses the same.
    pose = (T_world_room @ T_room_camera).astype(np.float32).astype(np.float64)
    return RecordedFrame(
        color=color,
        depth_raw=np.zeros_like(depth_raw) if is_depth_lost else depth_raw,
        T_world_camera=np.full((4, 4), -np.inf) if is_pose_lost else pose,
        instance=instance,
    )


def _targets(room: Room) -> Float64[np.ndarray, "t 3"]:
    """Middles of the pieces of furniture, in the room."""
    middles = [
        one.T_room_item @ np.append(one.item.limits().mean(0), 1)
        for one in room.placed
        if one.item.category not in _SEEN_ANYWAY
        and np.prod(np.diff(one.item.limits(), axis=0)) > _TARGET_M3
    ]
    return np.array(middles).reshape(-1, 4)[:, :3]


def _fusible(
    frames: list[RecordedFrame], K_depth: Float64[np.ndarray, "3 3"]
) -> Iterator[FusionFrame]:
    for frame in frames:
        if np.isfinite(frame.T_world_camera).all():
            depth = (frame.depth_raw / np.float32(1000)).astype(np.float32)
            rgb = resize_color(frame.color, (depth.shape[0], depth.shape[1]))
            yield depth, rgb, K_depth, frame.T_world_camera


def _moved(xyz: Float32[np.ndarray, "n 3"], transform: np.ndarray) -> Float32[np.ndarray, "n 3"]:
    return (xyz @ transform[:3, :3].T + transform[:3, 3]).astype(np.float32)
