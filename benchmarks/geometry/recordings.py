"""The real sequences as ScanNet ships its scans: a `.sens` and a mesh, at several sizes."""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pipeline.config import load_params
from pipeline.geometry.camera import resize_depth, resize_intrinsics
from pipeline.geometry.fusion import fuse_mesh
from pipeline.geometry.mesh import Mesh, write_ply
from pipeline.readers import READERS
from pipeline.readers.imaging import resize_color
from pipeline.readers.sens import open_sens
from pipeline.scenes.naming import training_rooms
from pipeline.scenes.recording import SCANNET_COLOR_SIZE, SCANNET_DEPTH_SIZE
from pipeline.scenes.sens_writer import DEPTH_SHIFT, write_packed_sens, write_sens

#: Of the meshes: few frames see each surface, so one look is enough.
FUSION = {"voxel_size_m": 0.02, "depth_max_m": 5.0, "min_weight": 1.0}
#: Of the long room: as many as ScanNet's longest scans.
LONG_FRAMES = 6000
_EMBEDDED = Path(__file__).parents[2] / "presets" / "embedded.yaml"
#: Poses of repeated frames differ by about this, so that no two frames are the same.
JITTER_M, JITTER_RADIANS = 0.02, 0.02


@dataclass(frozen=True)
class View:
    """One frame: colour uint8 RGB, depth float32 metres, K at the depth's size, T_world_camera."""

    color: np.ndarray
    depth: np.ndarray
    K: np.ndarray
    T_world_camera: np.ndarray


def read_views(raw_dir: Path, scene: str) -> list[View]:
    """All usable frames of a posed folder."""
    raw = READERS["posed_folder"].open_scene(raw_dir, scene, 1)
    frames = [raw.load_frame(frame_id) for frame_id in raw.frame_ids]
    return [View(f.color, f.depth, f.K, f.T_world_camera) for f in frames if f.status == "ok"]


def scannet_sized(view: View) -> View:
    """The middle of a frame at ScanNet's aspect and sizes: 1296x968 colour, 640x480 depth."""
    height, width = view.depth.shape
    wanted = height * SCANNET_DEPTH_SIZE[1] // SCANNET_DEPTH_SIZE[0]
    left = (width - wanted) // 2
    columns = slice(left, left + wanted)
    K = view.K.copy()
    K[0, 2] -= left
    return View(
        resize_color(np.ascontiguousarray(view.color[:, columns]), SCANNET_COLOR_SIZE),
        resize_depth(view.depth[:, columns], SCANNET_DEPTH_SIZE),
        resize_intrinsics(K, (height, wanted), SCANNET_DEPTH_SIZE),
        view.T_world_camera,
    )


def scan_files(raw_dir: Path, scene: str) -> tuple[Path, Path]:
    """Where ScanNet's layout has the `.sens` and the mesh of a scene."""
    folder = raw_dir / "scans" / scene
    return folder / f"{scene}.sens", folder / f"{scene}_vh_clean_2.ply"


def fuse(views: list[View]) -> Mesh:
    """The reconstruction that ScanNet would ship."""
    frames = (
        (view.depth, resize_color(view.color, view.depth.shape), view.K, view.T_world_camera)
        for view in views
    )
    return fuse_mesh(frames, **FUSION)


def write_scan(raw_dir: Path, scene: str, views: list[View], repeats: int = 1) -> None:
    """Write the `.sens`, each frame `repeats` times in a row, and the mesh."""
    sens, ply = scan_files(raw_dir, scene)
    write_ply(ply, fuse(views))
    K = views[0].K
    depth_size, color_size = views[0].depth.shape, views[0].color.shape[:2]
    frames = [(view.color, _raw(view.depth), view.T_world_camera) for view in views]
    K_color = resize_intrinsics(K, depth_size, color_size)
    write_sens(sens, frames, K_color, K)
    if repeats > 1:
        packed = [frame for frame in packed_frames(sens) for _ in range(repeats)]
        write_packed_sens(sens, packed, len(packed), (color_size, depth_size), K_color, K)


def _raw(depth: np.ndarray) -> np.ndarray:
    return np.rint(depth * DEPTH_SHIFT).astype(np.uint16)


def packed_frames(sens: Path) -> Iterator[tuple[bytes, bytes, np.ndarray]]:
    """Colour, depth and pose of each frame as they are in the file."""
    index = open_sens(sens)
    with sens.open("rb") as file:
        for number, pose in enumerate(index.T_world_camera.astype(np.float64)):
            n_color, n_depth = int(index.color_bytes[number]), int(index.depth_bytes[number])
            data = os.pread(file.fileno(), n_color + n_depth, int(index.offset[number]))
            yield data[:n_color], data[n_color:], pose


def write_longer(raw_dir: Path, scene: str, sens: Path, n_frames: int, mesh: Path | None) -> None:
    """Write a scene of `n_frames` by going through another's again and again, a little elsewhere.

    Args:
        raw_dir: Root of the new scene.
        scene: Its name.
        sens: The recording that is repeated, or cut, if it is longer.
        n_frames: Frames of the new scene.
        mesh: Is linked as the new scene's mesh; None: it has none.
    """
    source, rng = open_sens(sens), np.random.default_rng(0)
    path, ply = scan_files(raw_dir, scene)
    n_source = len(source.offset)

    def frames() -> Iterator[tuple[bytes, bytes, np.ndarray]]:
        again = itertools.chain.from_iterable(packed_frames(sens) for _ in itertools.count())
        for number, (color, depth, pose) in enumerate(itertools.islice(again, n_frames)):
            yield color, depth, pose if number < n_source else pose @ _jitter(rng)

    sizes = source.color_size, source.depth_size
    write_packed_sens(path, frames(), n_frames, sizes, source.K_color, source.K_depth)
    if mesh is not None:
        ply.unlink(missing_ok=True)
        ply.symlink_to(mesh.resolve())


def make_long_room(raw_dir: Path) -> tuple[Path, str]:
    """The embedded room with a walk of 6,000 frames, made below `raw_dir` if it is not there.

    Returns:
        Raw folder and scene name.
    """
    from pipeline.stages.make_room import make_room

    given = load_params(_EMBEDDED)
    assert given.rooms is not None
    rooms = given.rooms.model_copy(update={"frames_per_room": LONG_FRAMES, "labelled_stride": 750})
    dataset = given.dataset.model_copy(update={"raw_dir": str(raw_dir)})
    (scene,) = training_rooms(1)
    if not scan_files(raw_dir, scene)[0].is_file():
        make_room(given.model_copy(update={"dataset": dataset, "rooms": rooms}), scene)
    return raw_dir, scene


def _jitter(rng: np.random.Generator) -> np.ndarray:
    """A small motion float64 (4, 4) of the camera."""
    motion = np.eye(4)
    motion[:3, :3] = cv2.Rodrigues(rng.normal(0, JITTER_RADIANS, 3))[0]
    motion[:3, 3] = rng.normal(0, JITTER_M, 3)
    return motion
