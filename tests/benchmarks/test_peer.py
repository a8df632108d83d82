"""The baselines compute what we compute, so that the benchmarks' ratios compare the same work."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.geometry import peer, peer_jobs, peer_loader
from benchmarks.geometry.segmentator import Segmentator, compiler, same_partition
from pipeline.geometry.correspondence import VoxelMatcher, match_pixels
from pipeline.geometry.mesh import Mesh
from pipeline.geometry.overlap import compute_overlaps, depth_to_cloud, downsample_cloud
from pipeline.geometry.oversegmentation import oversegment
from pipeline.geometry.voxels import Voxels, voxelize
from pipeline.readers import READERS
from pipeline.readers.sens import open_sens
from pipeline.scenes.sens_writer import write_sens
from tests.raw_room import POSES, depth_mm
from tests.room import K, render, wall_color

FRAMES = [
    (wall_color(render(pose)[1]), depth_mm(pose), pose.astype(np.float32).astype(np.float64))
    for pose in POSES.values()
]


def metres(depth_raw: np.ndarray) -> np.ndarray:
    return depth_raw.astype(np.float32) / np.float32(1000)


def tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    """float64, so that rounding at a border never tells the two sides apart."""
    return [torch.from_numpy(array.astype(np.float64)) for array in arrays]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The room as a `.sens` and as the peer's files."""
    folder = tmp_path_factory.mktemp("peer")
    write_sens(folder / "room.sens", FRAMES, K, K)
    peer.export(folder / "room.sens", folder / "room", 1)
    return folder


def test_export_holds_the_frames_of_the_recording(exported: Path) -> None:
    ours = open_sens(exported / "room.sens")
    theirs = READERS["scannet_exported"].open_scene(exported, "room", 1)
    assert theirs.frame_ids == tuple(range(len(FRAMES)))
    for frame_id in theirs.frame_ids:
        a, b = ours.read_frame(frame_id, "full"), theirs.load_frame(frame_id)
        np.testing.assert_array_equal(a.depth, b.depth)
        # Two JPEG decoders may differ by a little.
        assert np.abs(a.color.astype(int) - b.color).mean() < 1
        np.testing.assert_allclose(a.T_world_camera, b.T_world_camera, atol=1e-6)


def test_export_keeps_every_nth_frame(exported: Path) -> None:
    peer.export(exported / "room.sens", exported / "some", 3)
    assert peer.frame_numbers(exported / "some") == [0, 3, 6]


def test_point_files_hold_the_points_of_the_depth(exported: Path) -> None:
    peer.extract_points(exported / "room")
    _, depth_raw, pose = FRAMES[2]
    found = peer.load_cloud(exported / "room", 2)
    # Their pose went through a text of six decimals.
    np.testing.assert_allclose(found, depth_to_cloud(metres(depth_raw), K, pose), atol=1e-5)


def test_overlaps_are_equal_to_the_last_bit() -> None:
    clouds = [depth_to_cloud(metres(depth), K, pose) for _, depth, pose in FRAMES]
    directed = compute_overlaps([downsample_cloud(c, peer.CELL_M) for c in clouds], peer.RADIUS_M)
    pairs = peer_jobs.sample_pairs(len(clouds), 10)
    down = [peer.downsample(cloud) for cloud in clouds]
    shares = np.array(peer.overlap_pairs(down, pairs), np.float32)
    assert (shares > 0).all()
    assert (shares < 1).any()
    np.testing.assert_array_equal(shares, [(directed[i, j], directed[j, i]) for i, j in pairs])
    lean = peer.overlap_pairs(down, pairs, peer.share_counted)
    np.testing.assert_array_equal(shares, np.float32(lean))


@pytest.mark.parametrize(("i", "j"), [(0, 1), (0, 5), (4, 2)])
def test_view_matches_are_equal_where_there_is_depth(i: int, j: int) -> None:
    (_, raw_a, pose_a), (_, raw_b, pose_b) = FRAMES[i], FRAMES[j]
    a, b = metres(raw_a), metres(raw_b)
    ours = match_pixels(a, K, pose_a, b, K, pose_b, "pri3d", peer_loader.PIXEL_Z_M)
    theirs = peer_loader.warp(*tensors(a, pose_a, b, pose_b, K)).numpy()
    # Documented deviation: pixels without depth never match here.
    theirs = theirs[(a.reshape(-1)[theirs[:, 0]] > 0) & (b.reshape(-1)[theirs[:, 1]] > 0)]
    assert len(theirs) > 500
    np.testing.assert_array_equal(np.stack(ours, axis=1), theirs)


def room_voxels() -> Voxels:
    """Voxels of 2 cm around the wall points of all frames."""
    points = np.concatenate([depth_to_cloud(metres(d), K, pose) for _, d, pose in FRAMES])
    points = points.astype(np.float32)
    return voxelize(points, np.zeros(points.shape, np.uint8), 1 / peer_loader.CELLS_PER_M)


def test_voxel_matches_are_equal_where_there_is_depth() -> None:
    voxels = room_voxels()
    first = np.rint(voxels.grid_origin / voxels.voxel_size_m).astype(np.int64)
    cells = voxels.coords.astype(np.int64) + first
    _, raw, pose = FRAMES[1]
    depth = metres(raw)
    pixel, voxel, _ = VoxelMatcher(voxels, "pri3d", peer_loader.VOXEL_Z_M).match(depth, K, pose)
    # The peer quantises by truncation: cells below 0 lie one nearer to it.
    coords = torch.from_numpy(cells + (cells < 0))
    theirs = peer_loader.voxel_pixels(coords, *tensors(depth, K, pose)).numpy()
    row, at = theirs.T
    z = ((coords.numpy() / peer_loader.CELLS_PER_M - pose[:3, 3]) @ np.linalg.inv(pose[:3, :3]).T)[
        :, 2
    ]
    # Documented deviation: no match behind the camera, nor without depth.
    kept = (depth.reshape(-1)[at] > 0) & (z[row] > 0)
    expected = sorted(zip(at[kept].tolist(), row[kept].tolist(), strict=True))
    assert len(expected) > 500
    assert sorted(zip(pixel.tolist(), voxel.tolist(), strict=True)) == expected


def test_loading_a_pair_gives_images_chunks_and_matches(exported: Path) -> None:
    points = np.concatenate([depth_to_cloud(metres(d), K, pose) for _, d, pose in FRAMES])
    mesh = Mesh(
        points.astype(np.float32),
        np.zeros((0, 3), np.int32),
        np.full(points.shape, 255, np.uint8),
    )
    peer_loader.write_scene(exported / "room", mesh)
    loaded = [
        peer_loader.load_pair(exported / "room", 0, 1, 32, unique)
        for unique in (peer_loader.unique_keys, peer_loader.unique_rows)
    ]
    for image_a, image_b, coords_a, coords_b, *matches in loaded:
        assert image_a.shape == image_b.shape == (3, *peer_loader.SIZE)
        assert len(torch.unique(coords_a, dim=0)) == len(coords_a) > 0
        assert len(torch.unique(coords_b, dim=0)) == len(coords_b) > 0
        assert [found.shape for found in matches] == [(32, 2)] * 3
    assert {tuple(c) for c in loaded[0][2].tolist()} == {tuple(c) for c in loaded[1][2].tolist()}


def rough_ground(n: int) -> Mesh:
    """A hilly grid of n x n vertices at random heights: no two creases are alike."""
    rng = np.random.default_rng(3)
    x, y = np.meshgrid(np.arange(n), np.arange(n))
    z = np.sin(x / 7) * np.cos(y / 5) + rng.normal(0, 0.05, x.shape)
    vertices = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    vertices[:, :2] += rng.uniform(-0.2, 0.2, (n * n, 2))
    corner = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).reshape(-1)
    faces = np.concatenate(
        [
            np.stack([corner, corner + 1, corner + n], axis=1),
            np.stack([corner + 1, corner + n + 1, corner + n], axis=1),
        ]
    )
    return Mesh(
        (vertices * 0.05).astype(np.float32),
        faces.astype(np.int32),
        np.zeros((n * n, 3), np.uint8),
    )


@pytest.mark.skipif(compiler() is None, reason="g++ is not installed")
def test_oversegmentation_has_the_partition_of_the_cpp_baseline(tmp_path: Path) -> None:
    segmentator, mesh = Segmentator(tmp_path), rough_ground(60)
    segmentator.load(mesh)
    counts = set()
    for k in (1e-5, 0.01, 0.05, 5.0):
        for min_vertices in (1, 20, 100):
            ours = oversegment(mesh.vertices, mesh.faces, k, min_vertices)
            for is_stable in (False, True):
                _, theirs = segmentator.run(k, min_vertices, is_stable=is_stable)
                assert same_partition(theirs, ours), (k, min_vertices, is_stable)
            counts.add(len(np.unique(ours)))
    assert len(counts) > 6


def test_partitions_are_compared_whatever_the_labels() -> None:
    a = np.array([0, 0, 1, 2])
    assert same_partition(a, np.array([7, 7, 3, 5]))
    assert not same_partition(a, np.array([7, 7, 3, 3]))
    assert not same_partition(a, np.array([7, 6, 3, 5]))
