"""The way a person walks through a room with a depth camera in the hands."""

import cv2
import numpy as np
from jaxtyping import Bool, Float64

from pipeline.scenes.placement import CELL_M

#: Distance of the camera from walls and furniture, metres: half a person.
CLEARANCE_M = 0.30
#: A person holds the camera this high, metres.
HEIGHTS_M = (1.2, 1.7)


def _wander(rng: np.random.Generator, n: int, smoothness: float) -> Float64[np.ndarray, " n"]:
    """Smooth random function of time with values of about -1..1."""
    reach = int(np.ceil(3 * smoothness))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / smoothness) ** 2)
    values = np.convolve(rng.standard_normal(n + 2 * reach), kernel, mode="valid")
    return np.clip(values / np.sqrt((kernel**2).sum()), -1.6, 1.6) * 0.7


def standing_room(walkable: Bool[np.ndarray, "rows columns"]) -> Float64[np.ndarray, "n 2"]:
    """Places where a person can stand and walk to from one another.

    Args:
        walkable: bool (rows, columns): cells free of furniture and walls.

    Returns:
        float64 (N, 2): centres of the cells, metres; never empty for a room with any free cell.
    """
    padded = np.pad(walkable, 1).astype(np.uint8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1] * CELL_M
    # A crowded room leaves less than the usual clearance; the roomiest cells remain.
    roomy = distance >= min(CLEARANCE_M, float(distance.max()))
    _, component = cv2.connectedComponents(roomy.astype(np.uint8))
    sizes = np.bincount(component[roomy])
    rows, columns = np.nonzero(component == sizes.argmax())
    return (np.stack([columns, rows], 1) + 0.5) * CELL_M


def look_along(
    position: Float64[np.ndarray, "3"], yaw: float, pitch: float, roll: float
) -> Float64[np.ndarray, "4 4"]:
    """Camera-to-room pose of a camera (x right, y down, z forward).

    Args:
        position: float64 (3,), metres.
        yaw: Direction of view about z, radians from the x axis.
        pitch: Upwards, radians.
        roll: About the viewing axis, clockwise, radians.
    """
    forward = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    down = np.cross(forward, right)
    pose = np.eye(4)
    pose[:3, 0] = np.cos(roll) * right + np.sin(roll) * down
    pose[:3, 1] = np.cos(roll) * down - np.sin(roll) * right
    pose[:3, 2] = forward
    pose[:3, 3] = position
    return pose


def walk(
    rng: np.random.Generator,
    walkable: Bool[np.ndarray, "rows columns"],
    targets: Float64[np.ndarray, "t 3"],
    n_frames: int,
) -> Float64[np.ndarray, "n 4 4"]:
    """Poses of a walk round a room.

    The person turns once or more about the room, keeps to the side opposite of what is looked at,
    lingers on objects, and sways.

    Args:
        rng: Source of randomness.
        walkable: bool (rows, columns): free cells of the floor plan.
        targets: float64 (T, 3): middles of the objects worth looking at, metres.
        n_frames: Number of poses.

    Returns:
        float64 (n_frames, 4, 4): T_room_camera, metres.
    """
    places = standing_room(walkable)
    middle = np.array(walkable.shape)[::-1] * CELL_M / 2
    time = np.linspace(0, 1, n_frames)
    sweep = rng.uniform(1.1, 1.6) * 2 * np.pi * rng.choice([-1, 1])
    # Uneven turning makes neighbouring frames overlap by all degrees.
    pace = np.cumsum(np.exp(0.8 * _wander(rng, n_frames, 2.0)))
    yaw = rng.uniform(0, 2 * np.pi) + sweep * pace / pace[-1] + 0.2 * _wander(rng, n_frames, 1.5)
    retreat = rng.uniform(0.6, 1.3) + 0.6 * _wander(rng, n_frames, 3.0)
    heading = np.stack([np.cos(yaw), np.sin(yaw)], 1)
    wish = middle - heading * retreat[:, None]
    nearest = ((wish[:, None] - places) ** 2).sum(-1).argmin(1)
    position = np.empty((n_frames, 3))
    position[:, :2] = places[nearest] + rng.uniform(-0.5, 0.5, (n_frames, 2)) * CELL_M
    height = rng.uniform(1.35, 1.6) + 0.12 * np.sin(time * 2 * np.pi * rng.uniform(1, 3))
    position[:, 2] = np.clip(height + 0.04 * _wander(rng, n_frames, 0.7), *HEIGHTS_M)
    pitch = np.deg2rad(-19) + np.deg2rad(11) * _wander(rng, n_frames, 1.2)
    poses = []
    for i in range(n_frames):
        gaze_yaw, gaze_pitch = _attract(position[i], yaw[i], pitch[i], targets)
        poses.append(look_along(position[i], gaze_yaw, gaze_pitch, rng.normal(0, 0.03)))
    return np.array(poses)


def _attract(
    position: np.ndarray, yaw: float, pitch: float, targets: np.ndarray
) -> tuple[float, float]:
    """Draw the view part of the way to the object nearest to its direction."""
    away = targets - position
    flat = np.hypot(away[:, 0], away[:, 1])
    turn = (np.arctan2(away[:, 1], away[:, 0]) - yaw + np.pi) % (2 * np.pi) - np.pi
    turn = np.where(flat > 0.8, turn, np.pi)
    if len(targets) == 0 or np.abs(turn).min() > 0.9:
        return yaw, pitch
    best = int(np.abs(turn).argmin())
    rise = float(np.arctan2(away[best, 2], flat[best]))
    pitch = 0.5 * pitch + 0.5 * float(np.clip(rise, -0.7, 0.15))
    return yaw + 0.6 * float(turn[best]), pitch
