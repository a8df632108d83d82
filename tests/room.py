"""A tiny analytic scene for tests: a textured box room, seen by cameras that look around in it.

Depth is the exact distance to the walls (ray-box intersection), colour is a function of the wall
point, so that both are exact in every view; the artifacts are written as the stages write them.
"""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml

from pipeline import layout, schemas
from pipeline.atomic import write_json
from pipeline.config import PARAMS_VARIABLE, Params
from pipeline.data.cache import ByteCache
from pipeline.data.pairs import PairBatches
from pipeline.data.single_frames import FrameBatches
from pipeline.data.store import SceneStore
from pipeline.readers.imaging import decode_depth, encode_depth
from pipeline.stages.scene_lists import resolve_split
from pipeline.stages.write_manifest import write_manifest

SIZE = (48, 64)
K = np.array([[40.0, 0, 31.5], [0, 40.0, 23.5], [0, 0, 1]])
# Walls lie off the voxels' borders, so that rounding never decides a wall point's voxel.
LOWER, UPPER = np.array([-0.33, -0.24, 0.07]), np.array([3.13, 2.64, 2.54])
VOXEL_M = 0.2
MOCO = {
    "queue": 24, "momentum": 0.9, "dim": 8, "batch_images": 8, "bn_images": 4, "steps": 6,
}  # fmt: skip


def look(position: tuple[float, float, float], yaw: float, pitch: float = 0.1) -> np.ndarray:
    """Camera-to-world pose; yaw in radians around the world's z (up), pitch downwards."""
    forward = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), -np.sin(pitch)])
    right = np.cross(forward, [0.0, 0, 1])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = position
    return pose


POSES = {
    0: look((1.2, 1.1, 1.3), 0.2),
    3: look((1.3, 1.2, 1.35), 0.35),
    5: look((1.1, 1.3, 1.25), 0.5),
    8: look((1.2, 1.0, 1.3), 0.0),
}


def wall_color(points: np.ndarray) -> np.ndarray:
    """uint8 RGB of points on the walls: smooth waves of different frequency in each channel."""
    x, y, z = np.moveaxis(points, -1, 0)
    waves = [np.sin(3 * x + 5 * y), np.sin(7 * y - 4 * z + 1), np.sin(6 * z + 2 * x)]
    return ((np.stack(waves, axis=-1) * 0.4 + 0.5) * 255).astype(np.uint8)


def wall_label(points: np.ndarray) -> np.ndarray:
    """uint8 class: 0 wall, 1 floor, 2 ceiling, 255 near the vertical edges of one corner."""
    label = np.zeros(points.shape[:-1], np.uint8)
    label[points[..., 2] < LOWER[2] + 1e-3] = 1
    label[points[..., 2] > UPPER[2] - 1e-3] = 2
    label[(np.abs(points[..., :2] - UPPER[:2]) < 0.2).all(axis=-1)] = 255
    return label


def render(pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth float64 (H, W), metres along z, and wall points (H, W, 3), world, of one view."""
    v, u = np.mgrid[: SIZE[0], : SIZE[1]]
    rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones(SIZE)], axis=-1)
    rays = rays @ pose[:3, :3].T
    walls = np.where(rays > 0, UPPER, LOWER)
    depth = ((walls - pose[:3, 3]) / np.where(rays == 0, 1e-12, rays)).min(axis=-1)
    return depth, pose[:3, 3] + depth[..., None] * rays


def _frame_row(frame_id: int, pose: np.ndarray, hole: bool) -> dict[str, list[object]]:
    depth, points = render(pose)
    depth = depth.astype(np.float32)
    if hole:
        depth[:6, :9] = 0
    color = cv2.cvtColor(wall_color(points), cv2.COLOR_RGB2BGR)
    encoded = cv2.imencode(".jpg", color, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    return {
        "frame_id": [frame_id],
        "status": ["ok"],
        "reason": [""],
        "T_world_camera": [pose.reshape(-1).tolist()],
        "K": [K.reshape(-1).tolist()],
        "width": [SIZE[1]],
        "height": [SIZE[0]],
        "depth_valid_fraction": [float((depth > 0).mean())],
        "color": [encoded],
        "depth": [encode_depth(depth)],
    }


def _lost_row(frame_id: int) -> dict[str, list[object]]:
    return {
        "frame_id": [frame_id],
        "status": ["no_pose"],
        "reason": ["pose is -inf"],
        "T_world_camera": [None],
        "K": [None],
        "width": [SIZE[1]],
        "height": [SIZE[0]],
        "depth_valid_fraction": [0.0],
        "color": [None],
        "depth": [None],
    }


def _grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates, centres and colours of the voxels that the walls pass through."""
    axes = [np.linspace(LOWER[i], UPPER[i], 120) for i in range(3)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    points = points[((points == LOWER) | (points == UPPER)).any(axis=1)]
    coords = np.unique(np.floor(points / VOXEL_M).astype(np.int32), axis=0)
    centres = ((coords + 0.5) * VOXEL_M).astype(np.float32)
    return coords, centres, wall_color(np.clip(centres, LOWER, UPPER))


def _voxel_sets(centres: np.ndarray) -> dict[float, np.ndarray]:
    """Segment of each voxel per k: walls, and their parts by octant; -1 on the ceiling."""
    distances = np.abs(np.concatenate([centres - LOWER, UPPER - centres], axis=1))
    wall = distances.argmin(axis=1).astype(np.int32)
    octant = (centres > (LOWER + UPPER) / 2) @ np.array([1, 2, 4])
    walls = np.where(wall == 5, -1, wall).astype(np.int32)
    return {0.01: np.where(wall == 5, -1, wall * 8 + octant).astype(np.int32), 0.05: walls}


def _set_rows(frame_id: int, voxel: np.ndarray, sets: dict[float, np.ndarray]) -> dict[str, Any]:
    """Row group of the sets table: the frame's pixels per set, each of which shows one voxel."""
    seen = {
        k: np.unique(ids[voxel][ids[voxel] >= 0], return_counts=True) for k, ids in sets.items()
    }
    return {
        "frame_id": np.full(sum(len(ids) for ids, _ in seen.values()), frame_id, np.int32),
        "set_source": [f"{k:g}" for k, (ids, _) in seen.items() for _ in ids],
        "set_id": np.concatenate([ids for ids, _ in seen.values()]).astype(np.int32),
        "n_pixels": np.concatenate([n for _, n in seen.values()]).astype(np.int32),
    }


def write_room(artifacts_dir: Path, scene: str, labels: bool = True) -> None:
    """Write the artifacts of the room: four usable frames, one lost (id 6).

    Args:
        artifacts_dir: Folder of all scenes.
        scene: Name of the scene.
        labels: Whether the labelled frames carry labels.
    """
    coords, centres, rgb = _grid()
    index = {tuple(cell): row for row, cell in enumerate(coords.tolist())}
    frames = [_frame_row(i, pose, hole=i == 3) for i, pose in POSES.items()]
    voxel_sets = _voxel_sets(centres)
    correspondences, labelled, sets = [], [], []
    for (frame_id, pose), row in zip(POSES.items(), frames, strict=True):
        _, points = render(pose)
        points = points.reshape(-1, 3)
        rows = [index.get(tuple(cell), -1) for cell in np.floor(points / VOXEL_M).astype(int)]
        voxel = np.array(rows, np.int32)
        valid = (voxel >= 0) & (decode_depth(row["depth"][0], SIZE).reshape(-1) > 0)
        distance = np.linalg.norm(points - centres[voxel], axis=1)
        correspondences.append(
            {
                "frame_id": np.full(valid.sum(), frame_id, np.int32),
                "pixel": np.flatnonzero(valid).astype(np.int32),
                "voxel_index": voxel[valid],
                "distance_mm": np.round(distance[valid] * 1000).clip(0, 255).astype(np.uint8),
            }
        )
        sets.append(_set_rows(frame_id, voxel[valid], voxel_sets))
        png = cv2.imencode(".png", wall_label(points).reshape(SIZE))[1].tobytes()
        labelled.append({**row, "label": [png if labels else None]})
    pairs = [(a, b) for a in POSES for b in POSES if a < b]
    tables = {
        "frames": [*frames, _lost_row(6)],
        "labelled_frames": labelled,
        "correspondences": correspondences,
        "segments": [
            {
                "k": np.full(len(ids), k, np.float32),
                "element": ["voxel"] * len(ids),
                "vertex_index": np.arange(len(ids), dtype=np.int32),
                "segment_id": ids,
            }
            for k, ids in voxel_sets.items()
        ],
        "sets": sets,
        "voxels": [
            {
                "voxel_index": np.arange(len(coords), dtype=np.int32),
                "voxel_coords": coords,
                "xyz_world": centres,
                "rgb": rgb,
                "n_vertices": np.ones(len(coords), np.int32),
            }
        ],
        "overlaps": [
            {
                "frame_a": np.array([a for a, _ in pairs], np.int32),
                "frame_b": np.array([b for _, b in pairs], np.int32),
                "overlap_ab": np.full(len(pairs), 0.5, np.float32),
                "overlap_ba": np.full(len(pairs), 0.5, np.float32),
                # Frames 0 and 5 are written as hardly overlapping, 6 is lost.
                "overlap": np.array([0.1 if p == (0, 5) else 0.5 for p in pairs], np.float32),
            }
        ],
    }
    grid = {"voxel_size_m": str(VOXEL_M), "grid_origin": "[0.0, 0.0, 0.0]"}
    for kind, groups in tables.items():
        metadata = grid if kind == "voxels" else {}
        path = layout.artifact(artifacts_dir, scene, kind)
        schemas.write_table(path, kind, groups, lambda metadata=metadata: metadata)


def small_params(**changes: Any) -> Params:
    """Params for rooms `room_a` and `room_b` (held out) with the smallest useful networks.

    Args:
        changes: Section -> keys that differ, e.g. `pretraining={"steps": 4}`.
    """
    content: dict[str, Any] = {
        "seeds": [0],
        "dataset": {
            "name": "boxes",
            "reader": "posed_folder",
            "raw_dir": "raw",
            "scenes": ["room_a", "room_b"],
            "validation_scenes": ["room_b"],
            "image_size": list(SIZE),
        },
        "labelled": {"reader": "posed_folder", "raw_dir": "raw", "label_map": [0, 1, 2]},
        "geometry": {"voxel_size_m": VOXEL_M, "matching": {"radius_m": 0.05}},
        "model": {
            "encoder": "resnet18",
            "width": 0.125,
            "feature_channels": 8,
            "sparse_planes": [8, 8, 8, 8],
            "sparse_blocks": [1, 1, 1, 1],
            "sparse_stem_channels": 8,
            "embedding_dim": 8,
            "linear_dim": 6,
        },
        "pretraining": {
            "steps": 6,
            "batch_pairs": 2,
            "pairs_per_scene": 2,
            "contrast": {"n_matches": 64},
            "checkpoint_every": 3,
        },
        "variants": {
            "none": {"losses": []},
            "imagenet": {"losses": [], "init": "checkpoint"},
            "view": {"losses": ["view"]},
            "geo": {"losses": ["geo"]},
            "depth": {"losses": ["depth"]},
            "moco": {"losses": ["moco"], "moco": MOCO},
            "view_geo": {"losses": ["view", "geo"]},
            "geo_lin": {"losses": ["geo"], "linear": True},
            "view_geo_lin": {"losses": ["view", "geo"], "linear": True},
            "view_geo_d": {"losses": ["view", "geo", "depth"]},
            "set": {"losses": ["set"]},
            "set_asymmetric": {
                "losses": ["set"],
                "sets": {"source": 0.01, "aggregation": "asymmetric"},
            },
        },
        "first_stage": ["none", "view"],
        "pretrained_on": "boxes",
        "rows": ["none", "view"],
        "finetuning": {
            "steps": dict.fromkeys(("frozen", "half_frozen", "full"), 6),
            "batch_images": 2,
            "mlp_channels": 8,
            "evaluations": 2,
        },
    }
    for section, values in changes.items():
        content[section] = {**content.get(section, {}), **values}
    return Params.model_validate(content)


def moco_params(pretraining: dict[str, Any] | None = None, **options: Any) -> Params:
    """Params like `small_params`, with other options of MoCo."""
    variant = {"losses": ["moco"], "moco": {**MOCO, **options}}
    return small_params(pretraining=pretraining or {}, variants={"moco": variant})


def two_stages(starts: list[str], second: list[str], **changes: Any) -> Params:
    """Params like `small_params`, with a second stage of three steps at a tenth of the rate."""
    content = small_params(**changes).model_dump()
    content["first_stage"] = content["rows"] = starts
    content["second_stage"] |= {"starts": starts, "variants": second}
    content["second_stage"] |= {"steps": 3, "learning_rate": 0.01}
    content["rows"] = [*starts, *Params.model_validate(content).second_stage.rows()]
    return Params.model_validate(content)


def write_params(params: Params) -> None:
    """Write params.yaml into the working directory."""
    Path("params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json")))


def pair_batches(artifacts_dir: Path, params: Params, seed: int = 0, **options: Any) -> PairBatches:
    """Batches of both rooms."""
    cache = ByteCache()
    scenes = {name: SceneStore(artifacts_dir, name, cache) for name in ("room_a", "room_b")}
    options = {"with_voxels": True, "with_depth": True, **options}
    return PairBatches(scenes, params.pretraining, params.geometry.matching, seed, **options)


def frame_batches(artifacts_dir: Path, params: Params, seed: int = 0) -> FrameBatches:
    """Single frames of both rooms."""
    cache = ByteCache()
    scenes = {name: SceneStore(artifacts_dir, name, cache) for name in ("room_a", "room_b")}
    moco = params.variants["moco"].moco
    assert moco is not None
    return FrameBatches(scenes, moco, params.pretraining.accumulation, seed)


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the artifacts of room_a and room_b."""
    folder = tmp_path_factory.mktemp("artifacts")
    for scene in ("room_a", "room_b"):
        write_room(folder, scene)
    return folder


@pytest.fixture(autouse=True)
def one_thread():
    """Exact equality is promised for one thread; tiny networks are slower with more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifacts: Path):
    """Function that makes a folder with params.yaml and the artifacts the working directory."""

    def enter_workspace(params: Params) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv(PARAMS_VARIABLE, raising=False)
        write_params(params)
        shutil.copy(Path(__file__).parents[1] / "dvc.yaml", "dvc.yaml")
        write_json(layout.split(params.dataset.name), resolve_split(params))
        shutil.copytree(artifacts, layout.artifacts_dir(params.dataset.name))
        for kind in layout.ARTIFACT_KINDS:
            if list(artifacts.glob(f"*/{kind}.parquet")):
                write_manifest(params, kind)

    return enter_workspace
