"""The peer's data preparation, written from its description: .sens -> files -> clouds -> overlaps.

Source: pri3d_family.md A.1 to A.4. Where the description leaves a choice, the faster one is taken,
so that ratios are not flattered: Pillow writes the PNGs (what imageio calls; same bytes, same
time), also those of depth; OpenCV resizes.
"""

import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import open3d as o3d
from PIL import Image

CELL_M = 0.05
RADIUS_M = 1.5 * CELL_M
_MATRICES = ("intrinsic_color", "extrinsic_color", "intrinsic_depth", "extrinsic_depth")


@dataclass
class Recording:
    """A whole `.sens` in memory, payloads still compressed."""

    matrices: list[np.ndarray]
    color_size: tuple[int, int]
    depth_size: tuple[int, int]
    poses: list[np.ndarray]
    color: list[bytes]
    depth: list[bytes]


def read_sens(path: Path) -> Recording:
    """Read all frames of the file, byte by byte (A.1, last bullet)."""
    with path.open("rb") as file:
        _unpack(file, "I")
        (name_length,) = _unpack(file, "Q")
        _characters(file, name_length)
        matrices = [np.asarray(_unpack(file, "f" * 16), np.float32).reshape(4, 4) for _ in range(4)]
        _unpack(file, "ii")
        color_width, color_height, depth_width, depth_height = _unpack(file, "IIII")
        _unpack(file, "f")
        (n_frames,) = _unpack(file, "Q")
        recording = Recording(
            matrices, (color_height, color_width), (depth_height, depth_width), [], [], []
        )
        for _ in range(n_frames):
            recording.poses.append(np.asarray(_unpack(file, "f" * 16), np.float32).reshape(4, 4))
            _unpack(file, "QQ")
            n_color, n_depth = _unpack(file, "QQ")
            recording.color.append(_characters(file, n_color))
            recording.depth.append(_characters(file, n_depth))
    return recording


def _unpack(file: BinaryIO, form: str) -> tuple:
    return struct.unpack(form, file.read(struct.calcsize("=" + form)))


def _characters(file: BinaryIO, n: int) -> bytes:
    return b"".join(struct.unpack("c" * n, file.read(n)))


def export(sens: Path, target: Path, frame_stride: int) -> None:
    """Write color/, depth/, pose/ and intrinsic/ of every n-th frame (A.2)."""
    recording = read_sens(sens)
    for folder in ("color", "depth", "pose", "intrinsic", "pcd", "world"):
        (target / folder).mkdir(parents=True, exist_ok=True)
    for number in range(0, len(recording.poses), frame_stride):
        color = np.asarray(Image.open(BytesIO(recording.color[number])))
        Image.fromarray(color).save(target / "color" / f"{number}.png")
    for number in range(0, len(recording.poses), frame_stride):
        depth = np.frombuffer(zlib.decompress(recording.depth[number]), np.uint16)
        depth = depth.reshape(recording.depth_size)
        Image.fromarray(depth).save(target / "depth" / f"{number}.png")
    for number in range(0, len(recording.poses), frame_stride):
        np.savetxt(target / "pose" / f"{number}.txt", recording.poses[number], fmt="%f")
    for name, matrix in zip(_MATRICES, recording.matrices, strict=True):
        np.savetxt(target / "intrinsic" / f"{name}.txt", matrix, fmt="%f")


def frame_numbers(target: Path) -> list[int]:
    """Exported frames in order."""
    return sorted(int(path.stem) for path in (target / "pose").glob("*.txt"))


def extract_points(target: Path) -> None:
    """Write the world points of each exported frame (A.3)."""
    K = np.loadtxt(target / "intrinsic" / "intrinsic_depth.txt")
    for number in frame_numbers(target):
        depth = np.asarray(Image.open(target / "depth" / f"{number}.png"))
        color = np.asarray(Image.open(target / "color" / f"{number}.png"))
        pose = np.loadtxt(target / "pose" / f"{number}.txt")
        points = world_points(depth, color, K, pose)
        np.savez(target / "pcd" / f"{number}.npz", pcd=points)


def world_points(
    depth_raw: np.ndarray, color: np.ndarray, K: np.ndarray, pose: np.ndarray
) -> np.ndarray:
    """Points float64 (N, 7): world xyz in metres, rgb, 0 (A.3)."""
    height, width = depth_raw.shape
    color = cv2.resize(color, (width, height), interpolation=cv2.INTER_LINEAR)
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    z = depth_raw.astype(np.float64) / 1000
    valid = depth_raw != 0
    z, u, v = z[valid], u[valid], v[valid]
    camera = np.stack(
        [
            (u - K[0, 2]) * z / K[0, 0] + K[0, 3],
            (v - K[1, 2]) * z / K[1, 1] + K[1, 3],
            z,
            np.ones_like(z),
        ]
    )
    world = (pose @ camera).T[:, :3]
    return np.concatenate([world, color[valid], np.zeros((len(z), 1))], axis=1)


def load_cloud(target: Path, number: int) -> np.ndarray:
    """World xyz float64 (N, 3) of a frame."""
    with np.load(target / "pcd" / f"{number}.npz") as stored:
        return np.ascontiguousarray(stored["pcd"][:, :3])


def downsample(points: np.ndarray) -> o3d.geometry.PointCloud:
    """One mean point per 5 cm cell (A.4, step 1)."""
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points))
    return cloud.voxel_down_sample(CELL_M)


def share_matched(cloud: o3d.geometry.PointCloud, tree: o3d.geometry.KDTreeFlann) -> float:
    """Share of a cloud's points that have a point of the tree near, one search each (step 2).

    The first neighbour of each point is collected, as the peer does: this costs the 9.7 us a query
    that pri3d_family.md G measured for its script; to count the points alone costs a third.
    """
    matches = []
    for number, point in enumerate(cloud.points):
        _, neighbours, _ = tree.search_radius_vector_3d(point, RADIUS_M)
        for neighbour in neighbours[:1]:
            matches.append((number, neighbour))
    return len(matches) / len(cloud.points)


def share_counted(cloud: o3d.geometry.PointCloud, tree: o3d.geometry.KDTreeFlann) -> float:
    """The same share by the leanest loop around the same search."""
    near = 0
    for point in cloud.points:
        near += tree.search_radius_vector_3d(point, RADIUS_M)[0] > 0
    return near / len(cloud.points)


def overlap_pairs(
    clouds: list[o3d.geometry.PointCloud],
    pairs: Iterable[tuple[int, int]],
    share: Callable[..., float] = share_matched,
) -> list[tuple[float, float]]:
    """For each pair (i, j) the shares of j near i and of i near j; the overlap is their maximum."""
    trees = [o3d.geometry.KDTreeFlann(cloud) for cloud in clouds]
    return [(share(clouds[j], trees[i]), share(clouds[i], trees[j])) for i, j in pairs]
