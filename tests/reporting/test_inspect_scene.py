"""`inspect` on the artifacts of an analytic room."""

import shutil
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from pipeline import layout
from pipeline.__main__ import main
from pipeline.data.store import StoredFrame
from pipeline.reporting import scene_pictures
from pipeline.schemas import SCHEMAS, write_table
from tests.reporting.conftest import SCENE

pytestmark = pytest.mark.usefixtures("_workplace")


@pytest.fixture
def _workplace(repository_with_scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository_with_scene)


def inspect(*arguments: str) -> int:
    return main(["inspect", *arguments])


def assert_drawn(folder: Path, names: set[str]) -> None:
    """Exactly these pictures lie in the folder, and none is blank."""
    assert {path.name for path in folder.iterdir()} == names
    for name in names:
        picture = cv2.imread(str(folder / name))
        assert picture.shape[1] > 500
        assert picture.std() > 10, f"{name} is nearly blank"


def test_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = layout.scene_dir(layout.artifacts_dir("rooms"), SCENE)
    assert inspect(str(folder), "--out", str(tmp_path)) == 0
    printed = capsys.readouterr().out
    for fact in (
        "4 of 5 frames are usable",
        "1 are skipped: no_pose x 1",
        "frame 6, no_pose: pose is -inf",
        "5 of 6 frame pairs (83 %) overlap by at least 0.3",
        "k 0.05, voxel:",
        "source 0.05: 3 sets in the median frame",
    ):
        assert fact in printed
    pictures = ("frame_0", "overlaps", "pair_0_3", "segments_k0.01", "sets_0_3_k0.01", "voxels")
    assert_drawn(tmp_path, {f"{name}.png" for name in pictures})


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ("--pair 5 3", {"pair_5_3"}),
        ("--sets 0.05", {"sets_0_3_k0.05"}),
        ("--pair 5 8 --sets 1e-2", {"pair_5_8", "sets_5_8_k0.01"}),
        ("--frame 8", {"frame_8"}),
        ("--segments 0.05", {"segments_k0.05"}),
        ("--frame 0 --segments 0.05", {"frame_0", "segments_k0.05"}),
        ("--overlap", {"overlaps"}),
        ("--voxels", {"voxels"}),
    ],
)
def test_each_option_draws_its_picture(
    options: str, names: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And prints nothing else."""
    where = ["--artifacts", str(layout.artifacts_dir("rooms")), "--out", str(tmp_path)]
    assert inspect(SCENE, *where, *options.split()) == 0
    assert_drawn(tmp_path, {f"{name}.png" for name in names})
    scene, *lines = capsys.readouterr().out.split("\n\n")
    assert scene.startswith(f"{SCENE} in ")
    assert "".join(lines).splitlines() == [f"wrote {tmp_path}/{name}.png" for name in sorted(names)]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["scene0009_00"], "no artifacts of scene 'scene0009_00'; it has scene0000_00"),
        (["wrong/scene0000_00"], "error: wrong/scene0000_00: no such folder; give"),
        ([SCENE, "--frame", "6"], "frame 6 is not usable; usable are 0, 3, 5, 8"),
        ([SCENE, "--sets", "0.3"], "no sets of source 0.3; it has 0.01, 0.05"),
        ([SCENE, "--segments", "0.3"], "no segments for k = 0.3; it has 0.01, 0.05"),
    ],
)
def test_errors_say_what_there_is(
    arguments: list[str], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--artifacts", str(layout.artifacts_dir("rooms")), "--out", str(tmp_path)]
    assert inspect(*arguments, *options) == 1
    assert problem in capsys.readouterr().err


def test_a_source_of_sets_is_a_k_or_labels(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        inspect(SCENE, "--sets", "walls")
    assert "argument --sets: 'walls' is neither a k nor `labels`" in capsys.readouterr().err


def test_folder_of_scenes_instead_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect(str(layout.artifacts_dir("rooms"))) == 1
    assert "holds no artifacts of a scene; it has scene0000_00" in capsys.readouterr().err


def copy_with(scene: Path, kinds: tuple[str, ...]) -> str:
    """A scene's folder with only some of the tables."""
    scene.mkdir()
    for kind in kinds:
        shutil.copy(layout.artifact(layout.artifacts_dir("rooms"), SCENE, kind), scene)
    return str(scene)


def test_what_cannot_be_drawn_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene, out = copy_with(tmp_path / "scene", ("frames", "overlaps")), tmp_path / "out"
    assert inspect(scene, "--out", str(out)) == 0
    printed = capsys.readouterr().out
    assert printed.count("not drawn: ") == 5
    assert "segments.parquet: missing" in printed
    assert "sets: not made" in printed
    assert_drawn(out, {"overlaps.png"})
    assert inspect(scene, "--out", str(out), "--voxels") == 1
    assert "missing; `snakemake" in capsys.readouterr().err


def test_scene_without_voxels_or_segments(tmp_path: Path) -> None:
    scene, out = copy_with(tmp_path / "scene", ("frames", "overlaps")), tmp_path / "out"
    for kind in ("voxels", "correspondences", "segments", "sets"):
        assert not SCHEMAS[kind].field(0).nullable
        write_table(Path(scene) / f"{kind}.parquet", kind, [], dict)
    assert inspect(scene, "--out", str(out)) == 0
    assert_drawn(out, {"overlaps.png"})


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """What is drawn instead of being saved."""
    drawn: list[Figure] = []

    def keep(figure: Figure, _path: Path) -> None:
        figure.draw_without_rendering()
        drawn.append(figure)

    monkeypatch.setattr(scene_pictures, "save_figure", keep)
    return drawn


@pytest.mark.parametrize("n_overlays", [1, 3])
def test_titles_of_a_frame_are_not_cut(figures: list[Figure], n_overlays: int) -> None:
    height, width = 240, 320
    depth = np.full((height, width), 2.0, np.float32)
    frame = StoredFrame(
        0, np.eye(4), np.eye(3), np.zeros((height, width, 3), np.uint8), depth, None
    )
    pixel = np.arange(depth.size, dtype=np.int32)
    overlays = {f"k = 0.0{i}: 1000 segments, by voxels": (pixel, pixel) for i in range(n_overlays)}
    matches = (pixel, np.full(depth.size, 18, np.uint8))
    scene_pictures.draw_frame(Path("f.png"), frame, matches, 0.02, overlays, "scene0000_00")
    titles = [axis.title for axis in figures[0].axes if axis.get_title()]
    assert len(titles) == 3 + n_overlays
    page, boxes = figures[0].bbox, [title.get_window_extent() for title in titles]
    assert all(page.x0 <= box.x0 and box.x1 <= page.x1 for box in boxes)
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def test_matches_at_the_border_are_not_cut(figures: list[Figure]) -> None:
    height, width = 240, 320
    corners = np.array([0, width - 1, (height - 1) * width, height * width - 1], np.int32)
    image = np.zeros((height, width, 3), np.uint8)
    scene_pictures.draw_pair(Path("p.png"), (image, image), (corners, corners), "corners")
    axis, dots = figures[0].axes[0], figures[0].axes[0].collections
    places = np.concatenate([axis.transData.transform(dot.get_offsets()) for dot in dots])
    radius_px = (dots[0].get_sizes()[0] ** 0.5 + 0.8) / 2 / 72 * figures[0].dpi
    assert len(places) == 8
    assert (places.min(axis=0) - radius_px >= axis.bbox.min).all()
    assert (places.max(axis=0) + radius_px <= axis.bbox.max).all()
