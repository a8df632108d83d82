"""What the peer's training reads and computes per frame pair, written from its description.

Source: pri3d_family.md A.6 to A.9. Left out: augmentation (on neither side). Stand-ins: NumPy finds
the duplicates among the quantised points, where the peer calls MinkowskiEngine; intrinsics are the
sequence's own instead of ScanNet's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.geometry.peer import frame_numbers
from pipeline.geometry.mesh import Mesh

SIZE = (240, 320)
PIXEL_Z_M, VOXEL_Z_M = 0.05, 0.20
CELLS_PER_M = 50
#: Rows of distinct cells among int64 (N, 3).
Unique = Callable[[np.ndarray], np.ndarray]
_MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
_STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


def write_scene(target: Path, mesh: Mesh) -> None:
    """Write the scene's cloud and the chunk box of each exported frame (A.6); not timed."""
    labels = np.zeros(len(mesh.vertices))
    cloud = (mesh.vertices.astype(np.float64), mesh.rgb.astype(np.float64), labels, labels.copy())
    torch.save(cloud, target / "cloud.pth")
    for number in frame_numbers(target):
        depth, K, pose = _load_depth(target, number)
        points = unproject(depth, K).reshape(3, -1)
        world = (pose @ torch.cat([points, torch.ones_like(points[:1])]))[:3]
        box = torch.stack([world.min(1).values.floor(), world.max(1).values.ceil()])
        torch.save(box.double().numpy(), target / "world" / f"{number}.pth")


@dataclass
class PeerView:
    """One view of a pair as the peer's step needs it."""

    image: torch.Tensor
    depth: torch.Tensor
    K: torch.Tensor
    pose: torch.Tensor
    coords: torch.Tensor
    features: torch.Tensor

    def to(self, device: torch.device) -> "PeerView":
        """The view on a device."""
        return PeerView(**{name: value.to(device) for name, value in vars(self).items()})


def load_pair(
    target: Path, a: int, b: int, n_matches: int, unique: Unique
) -> tuple[torch.Tensor, ...]:
    """Images, chunks and `n_matches` of each kind of one pair."""
    views = [load_view(target, number, unique) for number in (a, b)]
    one, two = views
    matches = [warp(one.depth, one.pose, two.depth, two.pose, one.K)]
    matches += [voxel_pixels(v.coords, v.depth, v.K, v.pose) for v in views]
    drawn = [draw(found, n_matches) for found in matches]
    return (*(v.image for v in views), *(v.coords for v in views), *drawn)


def load_view(target: Path, number: int, unique: Unique) -> PeerView:
    color = Image.open(target / "color" / f"{number}.png").convert("RGB")
    color = color.resize((SIZE[1], SIZE[0]), Image.Resampling.NEAREST)
    image = torch.from_numpy(np.array(color)).permute(2, 0, 1).contiguous().float().div(255)
    depth, K, pose = _load_depth(target, number)
    coords, features = _load_chunk(target, number, unique)
    return PeerView((image - _MEAN) / _STD, depth, K, pose, coords, features)


def _load_depth(target: Path, number: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Depth in metres and K at the training size, and the pose."""
    image = Image.open(target / "depth" / f"{number}.png")
    full = image.size
    depth = np.array(image.resize((SIZE[1], SIZE[0]), Image.Resampling.NEAREST), np.float32) / 1000
    K = np.loadtxt(target / "intrinsic" / "intrinsic_depth.txt")[:3, :3]
    K[0, 0] *= SIZE[1] / full[0]
    K[1, 1] *= SIZE[0] / full[1]
    K[0, 2] *= (SIZE[1] - 1) / (full[0] - 1)
    K[1, 2] *= (SIZE[0] - 1) / (full[1] - 1)
    pose = np.loadtxt(target / "pose" / f"{number}.txt")
    return torch.from_numpy(depth), torch.from_numpy(K).float(), torch.from_numpy(pose).float()


def _load_chunk(target: Path, number: int, unique: Unique) -> tuple[torch.Tensor, torch.Tensor]:
    """Voxels int64 (M, 3) and colours float32 (M, 3) inside the frame's box."""
    xyz, rgb, _, _ = torch.load(target / "cloud.pth", weights_only=False)
    lower, upper = torch.load(target / "world" / f"{number}.pth", weights_only=False)
    inside = ((xyz > lower) & (xyz < upper)).all(1)
    coords = torch.from_numpy(xyz[inside] * CELLS_PER_M).long()
    first = unique(coords.numpy())
    features = torch.from_numpy(rgb[inside][first] / 255).float()
    return coords[first], features


def unique_keys(coords: np.ndarray) -> np.ndarray:
    """First row of each cell, by sorting one 64-bit key per point."""
    shifted = coords - coords.min(axis=0, initial=0)
    spans = shifted.max(axis=0, initial=0) + 1
    key = (shifted[:, 0] * spans[1] + shifted[:, 1]) * spans[2] + shifted[:, 2]
    return np.unique(key, return_index=True)[1]


def unique_rows(coords: np.ndarray) -> np.ndarray:
    """First row of each cell, by NumPy alone: the stand-in of pri3d_family.md G."""
    return np.unique(coords, axis=0, return_index=True)[1]


def unproject(depth: torch.Tensor, K: torch.Tensor) -> torch.Tensor:
    """Camera points (3, H, W) of every pixel, also of those without depth."""
    v, u = torch.meshgrid(*(torch.arange(n, dtype=depth.dtype) for n in depth.shape), indexing="ij")
    return torch.stack([(u - K[0, 2]) / K[0, 0] * depth, (v - K[1, 2]) / K[1, 1] * depth, depth])


def warp(
    depth_a: torch.Tensor,
    pose_a: torch.Tensor,
    depth_b: torch.Tensor,
    pose_b: torch.Tensor,
    K: torch.Tensor,
) -> torch.Tensor:
    """VIEW: int64 (N, 2), flat pixels of a and of b whose depths along z agree (A.8)."""
    points = unproject(depth_a, K).reshape(3, -1)
    valid = depth_a.reshape(-1) != -1
    world = pose_a @ torch.cat([points, torch.ones_like(points[:1])])
    pixel, in_image, z = _project((torch.inverse(pose_b) @ world)[:3], K, depth_b.shape)
    near = (z - depth_b.reshape(-1)[pixel]).abs() < PIXEL_Z_M
    kept = torch.nonzero(valid & in_image & near)[:, 0]
    return torch.stack([kept, pixel[kept]], dim=1)


def voxel_pixels(
    coords: torch.Tensor, depth: torch.Tensor, K: torch.Tensor, pose: torch.Tensor
) -> torch.Tensor:
    """GEO: int64 (N, 2), rows of the chunk and flat pixels whose depths along z agree (A.8)."""
    points = (coords.to(depth.dtype) / CELLS_PER_M).T
    camera = (torch.inverse(pose) @ torch.cat([points, torch.ones_like(points[:1])]))[:3]
    pixel, in_image, z = _project(camera, K, depth.shape)
    near = (z - depth.reshape(-1)[pixel]).abs() < VOXEL_Z_M
    kept = torch.nonzero(in_image & near)[:, 0]
    return torch.stack([kept, pixel[kept]], dim=1)


def _project(
    camera: torch.Tensor, K: torch.Tensor, size: torch.Size
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Flat pixel (0 outside), whether it is inside, and z of each point; pixels by truncation."""
    z = camera[2]
    u = (camera[0] / z * K[0, 0] + K[0, 2]).long()
    v = (camera[1] / z * K[1, 1] + K[1, 2]).long()
    inside = (u >= 0) & (u < size[1]) & (v >= 0) & (v < size[0])
    return torch.where(inside, v * size[1] + u, 0), inside, z


def draw(matches: torch.Tensor, n: int) -> torch.Tensor:
    """`n` matches, with replacement only if there are fewer."""
    if len(matches) >= n:
        return matches[torch.randperm(len(matches))[:n]]
    return matches[torch.randint(len(matches), (n,))]
