"""Sets of frames and of pairs against the tables read by hand, and against the analytic room."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.config import SetContrast
from pipeline.data.cache import ByteCache
from pipeline.data.matched_sets import match_sets, see_pair
from pipeline.data.scene_sets import FrameSets, half_resolution, source_name
from pipeline.data.store import SceneStore
from pipeline.geometry.mesh import read_ply, write_ply
from pipeline.layout import artifact, mesh
from pipeline.schemas import ArtifactError, read_table, write_table
from pipeline.stages.extract_frames import extract_scene
from pipeline.stages.oversegment import oversegment_scene
from tests.data.test_pairs import frame_ids
from tests.raw_room import TRAINING_SIZE, artifacts_dir, raw_dir, raw_params  # noqa: F401
from tests.room import LOWER, POSES, SIZE, UPPER, pair_batches, render, small_params

N_CELLS = SIZE[0] * SIZE[1] // 4


def as_dict(sets: FrameSets) -> dict[int, dict[int, int]]:
    """Set -> cell -> pixels."""
    ends = zip(sets.set_id.tolist(), sets.first[:-1], sets.first[1:], strict=True)
    return {
        set_id: dict(zip(sets.cell[i:j].tolist(), sets.count[i:j].tolist(), strict=True))
        for set_id, i, j in ends
    }


def by_hand(folder: Path, scene: str, frame_id: int, source: str, size: tuple[int, int]):
    """Set -> cell -> pixels, by loops over the tables' rows."""

    def rows(kind: str) -> list[dict]:
        return read_table(artifact(folder, scene, kind), kind).to_pylist()

    listed = {
        row["set_id"]: row["pixels"]
        for row in rows("sets")
        if row["frame_id"] == frame_id and row["set_source"] == source
    }
    of_voxel = {
        row["vertex_index"]: row["segment_id"]
        for row in rows("segments")
        if row["element"] == "voxel" and f"{row['k']:g}" == source
    }
    matches = [row for row in rows("correspondences") if row["frame_id"] == frame_id]
    found = {}
    for set_id, pixels in listed.items():
        if pixels is None:
            shown = [row for row in matches if of_voxel[row["voxel_index"]] == set_id]
            pixels = {row["pixel"] for row in shown}
        found[set_id] = Counter(
            p // size[1] // 2 * (size[1] // 2) + p % size[1] // 2 for p in pixels
        )
    return found


@pytest.fixture
def made(artifacts_dir, raw_dir, tmp_path):  # noqa: F811
    """Function that makes the sets of the raw room with other settings, in a copy."""

    def make(projection: str, matching: dict, with_labels: bool = False) -> SceneStore:
        folder = Path(shutil.copytree(artifacts_dir, tmp_path / "made"))
        params = raw_params(raw_dir, **matching)
        sets = params.geometry.sets.model_copy(update={"projection": projection})
        geometry = params.geometry.model_copy(update={"sets": sets})
        if matching:
            extract_scene(params, "room", folder)
        if with_labels:
            surface = read_ply(mesh(folder, "room"))
            label = np.where(surface.vertices[:, 2] < 0.2, 1, 255).astype(np.uint16)
            write_ply(mesh(folder, "room"), replace(surface, label=label))
        oversegment_scene(params.model_copy(update={"geometry": geometry}), "room", folder)
        return SceneStore(folder, "room", ByteCache())

    return make


@pytest.mark.parametrize(
    ("projection", "matching"),
    [("voxel_map", {}), ("voxel_map", {"mode": "pri3d"}), ("ray_casting", {})],
    ids=["strict", "pri3d", "ray_casting"],
)
def test_sets_of_a_frame_are_those_of_the_tables(made, tmp_path, projection, matching):
    store = made(projection, matching)
    for frame_id in (0, 5):
        for source in ("0.01", "0.5"):
            sets = store.sets(frame_id, source)
            expected = by_hand(tmp_path / "made", "room", frame_id, source, TRAINING_SIZE)
            assert as_dict(sets) == expected
            assert len(expected) > 1
            assert sets.n_pixels.tolist() == [sum(expected[i].values()) for i in sets.set_id]
            assert sets.count.max() == 4


def test_label_sets_are_the_floor(made):
    store = made("voxel_map", {}, with_labels=True)
    assert store.set_sources == ["0.01", "0.5", "labels"]
    n_floor = 0
    for frame_id in store.frames.frame_ids:
        pixel, set_id = store.set_pixels(frame_id, "labels")
        assert set(set_id) <= {1}
        frame = store.frames.load(frame_id)
        height = store.voxels().xyz_world[store.pixel_voxels(frame_id).voxel_index, 2]
        shown = store.pixel_voxels(frame_id).pixel
        assert (height[np.isin(shown, pixel)] < 0.3).all()
        assert (height[~np.isin(shown, pixel)] > 0.1).all()
        assert pixel.max(initial=0) < frame.depth.size
        n_floor += len(pixel)
    assert n_floor > 50


def test_cells_are_floor_of_half_also_for_odd_sizes():
    v, u = np.mgrid[:7, :9].astype(np.int32)
    cells = half_resolution((v * 9 + u).reshape(-1), (7, 9))
    assert cells.tolist() == [int(y) // 2 * 5 + int(x) // 2 for y in range(7) for x in range(9)]


def test_a_pixel_of_two_sets_counts_in_both():
    sets = FrameSets.of_pixels(
        np.array([0, 0, 1, 66], np.int32), np.array([9, 4, 4, 9], np.int32), SIZE
    )
    assert as_dict(sets) == {4: {0: 2}, 9: {0: 1, 1: 1}}
    assert sets.n_pixels.tolist() == [2, 2]


def test_a_frame_without_matches_has_no_sets(artifacts):
    store = SceneStore(artifacts, "room_a", ByteCache())
    nothing = np.empty(0, np.int32)
    assert [len(found) for found in store.set_pixels(6, "0.05")] == [0, 0]
    sets = FrameSets.of_pixels(nothing, nothing, SIZE)
    assert len(sets.set_id) == len(sets.cell) == 0
    assert len(see_pair("room_a", sets, store.sets(0, "0.05"), 1).rows[0]) == 0


def batches(artifacts, source=0.05, **options):
    params = small_params(pretraining={"batch_pairs": 4, "pairs_per_scene": 2})
    return pair_batches(artifacts, params, sets=SetContrast(source=source, **options))


def test_matched_sets_are_all_that_both_views_see(artifacts):
    """Against loops over pairs, sets and cells."""
    made_batches = batches(artifacts, 0.01)
    batch = made_batches[0]
    sets, n_sets = batch.sets, len(batch.sets.pair)
    assert (sets.pair.diff() >= 0).all()
    row, seen_ids = 0, []
    ends = [*sets.first.tolist(), len(sets.cell)]
    for i, name in enumerate(batch.names):
        scene = made_batches.scenes[name.partition(":")[0]]
        a, b = (as_dict(scene.sets(frame_id, "0.01")) for frame_id in frame_ids(name))
        for set_id in sorted(a.keys() & b.keys()):
            assert sets.pair[row] == i
            for view, cells in enumerate((a[set_id], b[set_id])):
                entry = row + view * n_sets
                offset = (view * 4 + i) * N_CELLS
                found = slice(ends[entry], ends[entry + 1])
                assert (sets.cell[found] - offset).tolist() == list(cells)
                share = torch.tensor(list(cells.values())) / sum(cells.values())
                torch.testing.assert_close(sets.share[found], share)
                assert int(sets.chosen[entry]) - offset in cells
            seen_ids.append((scene.scene, set_id))
            row += 1
    assert row == n_sets
    for i, one in enumerate(seen_ids):
        assert [one == other for other in seen_ids] == (sets.identity == sets.identity[i]).tolist()
    assert len(set(seen_ids)) < n_sets


def test_a_set_is_one_wall_in_both_views(artifacts):
    """The cells of a set lie on the same wall of the room, whichever view sees them."""
    batch = batches(artifacts)[0]
    sets = batch.sets
    ids = np.array([frame_ids(name) for name in batch.names]).T.reshape(-1)
    walls = []
    for frame_id in ids:
        points = render(POSES[frame_id])[1][::2, ::2].reshape(-1, 3)
        near = np.abs(np.concatenate([points - LOWER, UPPER - points], axis=1)) < 1e-6
        walls.append(near.argmax(axis=1))
    wall = torch.from_numpy(np.concatenate(walls))[sets.cell]
    size = torch.diff(sets.first, append=torch.tensor([len(sets.cell)]))
    of_set = torch.repeat_interleave(torch.arange(len(size)), size)
    expected = (sets.identity & 0xFFFFFFFF).repeat(2)[of_set]
    # Voxels in the edges of the room belong to one of the walls that meet there.
    assert (wall == expected).float().mean() > 0.9


def test_the_chosen_pixel_is_any_of_the_pixels():
    """Cells are drawn as often as they have pixels: 3 of 4 times the first."""
    sets = FrameSets.of_pixels(
        np.array([0, 1, 64, 40], np.int32), np.array([5, 5, 5, 5], np.int32), SIZE
    )
    pair = see_pair("room", sets, sets, 1)
    rng = np.random.default_rng(0)
    chosen = np.concatenate([match_sets([pair], N_CELLS, rng).chosen for _ in range(2000)])
    assert Counter(chosen.tolist()).keys() == {0, 20, N_CELLS, N_CELLS + 20}
    assert np.mean(chosen % N_CELLS == 0) == pytest.approx(0.75, abs=0.03)


def test_min_pixels_counts_in_both_views():
    def frame(**sizes: int) -> FrameSets:
        ids = np.repeat([int(name[1:]) for name in sizes], list(sizes.values())).astype(np.int32)
        return FrameSets.of_pixels(np.arange(len(ids), dtype=np.int32), ids, SIZE)

    a, b = frame(s1=5, s2=2, s3=4, s4=9), frame(s2=5, s3=3, s4=9, s7=9)
    for min_pixels, common in ((1, [2, 3, 4]), (3, [3, 4]), (4, [4]), (10, [])):
        pair = see_pair("room", a, b, min_pixels)
        for view, rows in zip(pair.views, pair.rows, strict=True):
            assert view.set_id[rows].tolist() == common


def test_pairs_and_images_are_those_of_the_other_variants(artifacts):
    """Stage 2's variants of a seed share their pairs, and stage 1's order is another."""
    params = small_params()
    both = [
        pair_batches(artifacts, params, sets=sets, is_second_stage=True)
        for sets in (SetContrast(), None)
    ]
    for number in (0, 7):
        with_sets, without = (each[number] for each in both)
        assert with_sets.names == without.names
        assert torch.equal(with_sets.pixel_a, without.pixel_a)
        assert torch.equal(with_sets.voxel_row, without.voxel_row)
        assert without.sets is None
    first_stage = pair_batches(artifacts, params)
    assert [first_stage[i].names for i in range(5)] != [both[1][i].names for i in range(5)]


def test_batches_depend_only_on_seed_and_number(artifacts):
    one, other = batches(artifacts), batches(artifacts)
    _ = other[0]
    for name, tensor in vars(one[3].sets).items():
        assert torch.equal(tensor, getattr(other[3].sets, name)), name


def test_pairs_without_a_common_set_are_replaced(artifacts):
    """Frames 0, 3 and 8 share a wall that fills 2,000 pixels of each, 5 sees less of it."""
    limit = batches(artifacts, min_pixels=2000)
    names = {name for number in range(6) for name in limit[number].names}
    assert sum(limit[number].n_redrawn for number in range(6)) > 0
    assert {tuple(frame_ids(name)) for name in names} == {(0, 3), (0, 8), (3, 8)}
    with pytest.raises(ArtifactError, match="have no match or no common set, the last room_"):
        _ = batches(artifacts, min_pixels=10_000)[0]


def test_a_missing_source_is_named_with_the_remedy(artifacts):
    with pytest.raises(ArtifactError) as error:
        _ = batches(artifacts, 0.03)[0]
    for part in ("sets.parquet: no sets of source 0.03; it has 0.01, 0.05;",
                 "add 0.03 to geometry.oversegmentation.k"):  # fmt: skip
        assert part in str(error.value)
    with pytest.raises(ArtifactError, match="its mesh has no labels: use sets of a k"):
        _ = batches(artifacts, "labels")[0]


@pytest.mark.parametrize("kind", ["sets", "segments"])
def test_a_missing_table_is_named(artifacts, tmp_path, kind):
    shutil.copytree(artifacts, tmp_path / "copy")
    artifact(tmp_path / "copy", "room_b", kind).unlink()
    store = SceneStore(tmp_path / "copy", "room_b", ByteCache())
    with pytest.raises(ArtifactError, match=rf"{kind}\.parquet: missing"):
        store.sets(0, "0.05")


def test_sets_of_other_segments_are_named(artifacts, tmp_path):
    shutil.copytree(artifacts, tmp_path / "copy")
    file = artifact(tmp_path / "copy", "room_b", "segments")
    groups = read_table(file, "segments").to_pandas().groupby("k")
    shifted = [rows.assign(segment_id=np.roll(rows["segment_id"], 1)) for _, rows in groups]
    write_table(file, "segments", [{n: g[n].to_numpy() for n in g} for g in shifted], dict)
    store = SceneStore(tmp_path / "copy", "room_b", ByteCache())
    with pytest.raises(ArtifactError) as error:
        store.sets(0, "0.05")
    assert "frame 0: n_pixels are not those of the correspondences and segments" in str(error.value)
    assert "`rm " in str(error.value)


def test_source_names_are_those_of_the_table():
    assert [source_name(source) for source in (0.01, 0.5, 1.0, "labels")] == [
        "0.01", "0.5", "1", "labels",
    ]  # fmt: skip
