"""`inspect` on the artifacts of an analytic room."""

from pathlib import Path

import cv2
import pytest

from pipeline import layout
from pipeline.__main__ import main
from tests.reporting.conftest import SCENE

pytestmark = pytest.mark.usefixtures("_workplace")


@pytest.fixture
def _workplace(repository_with_scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository_with_scene)


def inspect(*arguments: str) -> int:
    return main(["inspect", *arguments])


def test_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = layout.scene_dir(layout.artifacts_dir("rooms"), SCENE)
    assert inspect(str(folder), "--out", str(tmp_path)) == 0
    printed = capsys.readouterr().out
    for fact in (
        "4 of 5 frames are usable",
        "frame 6 skipped, no_pose: pose is -inf",
        "5 of 6 frame pairs (83 %) overlap by at least 0.3",
        "k 0.05, voxel:",
        "sets: not made",
    ):
        assert fact in printed
    drawn = sorted(path.name for path in tmp_path.glob("*.png"))
    assert drawn == ["overlaps.png", "pair_0_3.png", "segments_frame0.png", "voxels.png"]
    for name in drawn:
        picture = cv2.imread(str(tmp_path / name))
        assert picture.shape[1] > 500
        assert picture.std() > 10, f"{name} is nearly blank"


def test_chosen_pictures(tmp_path: Path) -> None:
    options = ["--artifacts", str(layout.artifacts_dir("rooms")), "--out", str(tmp_path)]
    assert inspect(SCENE, *options, "--pair", "5", "3") == 0
    assert inspect(SCENE, *options, "--frame", "8", "--segments", "0.05") == 0
    names = sorted(path.name for path in tmp_path.glob("*.png"))
    assert names == ["pair_5_3.png", "segments_k0.05_frame8.png"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["scene0009_00"], "no artifacts of scene 'scene0009_00'; it has scene0000_00"),
        ([SCENE, "--frame", "6"], "frame 6 is not usable; usable are 0, 3, 5, 8"),
        ([SCENE, "--segments", "0.3"], "no segments for k = 0.3; it has 0.01, 0.05"),
    ],
)
def test_errors_say_what_there_is(
    arguments: list[str], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--artifacts", str(layout.artifacts_dir("rooms")), "--out", str(tmp_path)]
    assert inspect(*arguments, *options) == 1
    assert problem in capsys.readouterr().err
