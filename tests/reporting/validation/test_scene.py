"""A scene's folder as a whole: provenance, files that are missing, damaged or left over."""

from pathlib import Path

import numpy as np
import pytest

from pipeline import layout
from pipeline.reporting.validation import CHECKS, validate_scene
from pipeline.stages.extract_frames import extract_scene
from pipeline.stages.find_overlaps import find_scene_overlaps
from pipeline.stages.oversegment import oversegment_scene
from tests.raw_room import raw_params, write_raw_room
from tests.reporting.validation.broken import keep, rewrite, setting, violations

PARQUET = sorted(layout.ARTIFACT_KINDS)


def lines(folder: Path) -> list[str]:
    return [str(violation) for violation in validate_scene(folder).violations]


def test_a_valid_scene(folder: Path, strict_folder: Path, pri3d_folder: Path) -> None:
    assert set(CHECKS) == {*layout.ARTIFACT_KINDS, "mesh"}
    for scene in (folder, strict_folder, pri3d_folder):
        report = validate_scene(scene)
        assert report.scene == "room"
        assert report.violations == report.warnings == report.unchecked == []
        assert report.n_rows["frames"] == 12


def test_a_frame_whose_colour_alone_is_spoiled(tmp_path: Path) -> None:
    """Overlaps are made without the colour, so that such a frame may have some."""
    write_raw_room(tmp_path / "raw", "room", spoiled=False)
    color = tmp_path / "raw" / "room" / "color" / "000003.png"
    color.write_bytes(color.read_bytes()[:-100])
    params, out = raw_params(tmp_path / "raw"), tmp_path / "out"
    for stage in (extract_scene, oversegment_scene, find_scene_overlaps):
        stage(params, "room", out)
    assert lines(out / "room") == []


@pytest.mark.parametrize("kind", PARQUET)
@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"scene": "hall"}, "scene must be room, is hall"),
        ({"scene": None}, "scene must be room, is missing"),
        ({"artifact": "voxel"}, "artifact must be "),
        ({"reader": None}, "reader is missing"),
        ({"package_version": None}, "package_version is missing"),
        ({"params_hash": "12"}, "params_hash is '12', not of the form"),
        ({"inputs_sha256": None}, "inputs_sha256 is missing"),
    ],
)
def test_metadata(folder: Path, kind: str, metadata: dict[str, str | None], expected: str) -> None:
    rewrite(folder, kind, keep, **metadata)
    found = violations(folder, kind)
    assert found[0].startswith(f"{kind}.parquet, metadata: {expected}")


def test_another_folder_is_another_scene(folder: Path) -> None:
    moved = folder.rename(folder.with_name("kitchen"))
    assert len(lines(moved)) == len(PARQUET)
    assert all("scene must be kitchen, is room" in line for line in lines(moved))


@pytest.mark.parametrize(
    ("changed", "stale"),
    [
        ("mesh", ["voxels", "segments", "sets"]),
        ("voxels", ["correspondences", "segments", "sets"]),
        ("frames", ["correspondences"]),
        ("correspondences", ["sets"]),
        ("segments", []),
    ],
)
def test_artifacts_of_other_inputs(folder: Path, changed: str, stale: list[str]) -> None:
    """Here the inputs differ by a byte or two that change no value."""
    if changed == "mesh":
        file = folder / "mesh.ply"
        file.write_bytes(file.read_bytes() + b" ")
    else:
        rewrite(folder, changed, keep, note="made again")
    found = lines(folder)
    assert [line.split(".")[0] for line in found] == stale
    assert all("inputs_sha256: it was made from other " in line for line in found)


def test_stale_sets_of_rays(strict_folder: Path) -> None:
    rewrite(strict_folder, "frames", keep, note="made again")
    assert [line.split(".")[0] for line in lines(strict_folder)] == ["correspondences", "sets"]


@pytest.mark.parametrize("kind", [*PARQUET, "mesh"])
def test_a_missing_file_is_named_once(folder: Path, kind: str) -> None:
    file = folder / ("mesh.ply" if kind == "mesh" else f"{kind}.parquet")
    file.unlink()
    report = validate_scene(folder)
    assert {violation.file for violation in report.violations} == {file.name}
    assert len(report.violations) == 1
    assert kind in report.unchecked


def test_an_empty_folder(tmp_path: Path) -> None:
    assert len(lines(tmp_path)) == len(CHECKS)


def test_leftovers_are_warnings(folder: Path) -> None:
    (folder / ".frames.abcdefgh.tmp.parquet").touch()
    report = validate_scene(folder)
    assert report.violations == []
    (warning,) = report.warnings
    assert warning.startswith(".frames.abcdefgh.tmp.parquet: of a run that was killed")


def test_a_row_that_is_wrong_in_many_frames_is_named_in_each(folder: Path) -> None:
    for frame in (1, 2):
        rewrite(folder, "correspondences", setting(frame, 0, distance_mm=255))
    found = [line for line in lines(folder) if "distance_mm" in line]
    assert [line.split(", ")[1] for line in found] == ["frame 1", "frame 2"]


@pytest.mark.parametrize("kind", PARQUET)
def test_damaged_bytes_never_stop_the_check(folder: Path, kind: str) -> None:
    """Wherever a file is damaged or cut, it is a violation, and the others are checked, too.

    A byte that no value depends on may be changed without notice.
    """
    file = folder / f"{kind}.parquet"
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    noticed = 0
    for _ in range(12):
        data = np.frombuffer(whole, np.uint8).copy()
        data[rng.integers(4, len(data), 3)] ^= rng.integers(1, 256, 3, dtype=np.uint8)
        file.write_bytes(data.tobytes())
        noticed += bool(lines(folder))
    assert noticed >= 10
    for length in (0, 3, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        found = lines(folder)
        assert found[0].startswith(f"{kind}.parquet: not readable as Parquet")
