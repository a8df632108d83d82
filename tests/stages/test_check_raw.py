"""`check`: what it finds, what it says, and its exit status."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline.__main__ import main
from pipeline.geometry.mesh import Mesh, write_ply
from pipeline.reporting.measured_docs import read_measurements
from pipeline.stages import check_raw
from pipeline.stages.check_raw import SceneReport
from tests.readers import reader_files as files


@pytest.fixture
def check(capsys):
    def run(*arguments: object) -> tuple[int, str]:
        status = main(["check", *(str(argument) for argument in arguments)])
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return run


def cells(output: str, scene: str) -> list[str]:
    """Cells of a scene's row."""
    line = next(line for line in output.splitlines() if re.search(rf"│ {scene} +│", line))
    return [cell.strip() for cell in line.strip().strip("│").split("│")]


def test_scan(tmp_path, check):
    lost = {1: np.full((4, 4), -np.inf)}
    empty = {2: np.zeros(files.DEPTH_SIZE, np.uint16)}
    files.write_scan(tmp_path, "a", files.sens_bytes(5, poses=lost, depths=empty))
    triangle = Mesh(
        np.eye(3, dtype=np.float32),
        np.array([[0, 1, 2]], np.int32),
        np.zeros((3, 3), np.uint8),
        np.ones(3, np.uint16),
    )
    folder = tmp_path / "scans" / "a"
    write_ply(folder / "a_vh_clean_2.ply", triangle)
    write_ply(folder / "a_vh_clean_2.labels.ply", triangle)
    status, output = check("--reader", "scannet", "--raw", tmp_path)
    assert status == 0, output
    row = ["a", "5", "3", "1 no_depth, 1 no_pose", "16x12", "14 14 8 6"]
    assert cells(output, "a") == [*row, "3 vertices with labels", "none", ""]
    assert "1 scenes, 3 frames to keep at stride 1" in output
    assert "0 problems" in output


def test_truncated_scan_and_broken_mesh(tmp_path, check):
    path = files.write_scan(tmp_path, "a", files.sens_bytes(6)[:-2000])
    (path.parent / "a_vh_clean_2.ply").write_bytes(b"ply\n")
    files.write_scan(tmp_path, "b", b"nothing")
    status, output = check("--reader", "scannet", "--raw", tmp_path)
    assert status == 1
    assert re.search(r"a: \d frames truncated; first: .*a\.sens frame \d", output)
    assert "a_vh_clean_2.ply" in output
    assert re.search(r"b: .*b\.sens: ends inside its header", output)


@pytest.mark.parametrize("reader", sorted(files.FOLDER_NAMES))
def test_folders(tmp_path, check, reader):
    files.write_folder_scene(tmp_path / "a", reader, tuple(range(8)))
    status, output = check("--reader", reader, "--raw", tmp_path, "--frame-stride", 2)
    assert status == 0, output
    row = cells(output, "a")
    assert row[1:3] == ["4", "4"]
    assert row[6:8] == ["none: fused", "4/4 sampled" if reader in files.LABELLED else "none"]

    color, _, pose = files.FOLDER_NAMES[reader]
    (tmp_path / "a" / pose.format(4)).unlink()
    (tmp_path / "a" / color.format(0)).write_bytes(b"")
    status, output = check("--reader", reader, "--raw", tmp_path)
    assert status == 1
    assert re.search(r"a: 1 frames no_pose; first: .*frame 4: no pose file \(expected ", output)
    assert re.search(r"a: 1 frames truncated; first: .*is empty", output)


def test_intrinsics_of_another_size(tmp_path, check):
    files.write_folder_scene(tmp_path / "a", "posed_folder", (0, 1))
    (tmp_path / "a" / "intrinsics.txt").write_text("577 0 319.5\n0 577 239.5\n0 0 1\n")
    status, output = check("--reader", "posed_folder", "--raw", tmp_path)
    assert status == 1
    assert "principal point (319.5, 239.5) is outside the depth of 16x12" in output


def test_nothing_left(tmp_path, check):
    poses = dict.fromkeys(range(3), np.full((4, 4), -np.inf))
    files.write_scan(tmp_path, "a", files.sens_bytes(3, poses=poses))
    status, output = check("--reader", "scannet", "--raw", tmp_path)
    assert status == 1
    assert "a: none of its 3 frames can be used" in output


def test_wrong_folder_and_stride(tmp_path, check):
    files.write_folder_scene(tmp_path / "a", "scannet_frames_25k", (0, 1))
    status, output = check("--reader", "scannet", "--raw", tmp_path)
    assert status == 1
    assert "fits reader scannet_frames_25k" in output
    status, output = check("--reader", "scannet_frames_25k", "--raw", tmp_path, "--frame-stride", 0)
    assert (status, "at least 1" in output) == (1, True)


@pytest.mark.parametrize(
    ("options", "stride", "kept"), [((), 2, "4"), (("--frame-stride", 4), 4, "2")]
)
def test_params(tmp_path, check, options, stride, kept):
    """Their stride, unless another is given, and their fusion: here 3 frames must see a surface."""
    files.write_folder_scene(tmp_path / "raw" / "a", "posed_folder", tuple(range(8)))
    params = yaml.safe_load(Path("presets/real_sequences.yaml").read_text())
    params["dataset"]["frame_stride"] = 2
    params["geometry"]["fusion"]["min_weight"] = 3
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(params))
    arguments = ("--reader", "posed_folder", "--raw", tmp_path / "raw", "--params", file)
    status, output = check(*arguments, *options)
    assert cells(output, "a")[2] == kept
    assert cells(output, "a")[6] == "fused"
    assert f"at stride {stride}; artifacts" in output
    problem = "a: 2 frames are left at stride 4, but a surface is fused where 3 see it; lower"
    assert (status, problem in output) == ((1, True) if kept == "2" else (0, False))


def test_what_else_the_params_name(tmp_path, check):
    """A list of scenes, labelled frames and a checkpoint, of params of the same folder alone."""
    files.write_folder_scene(tmp_path / "raw" / "a", "posed_folder", (0, 1))
    params = yaml.safe_load(Path("presets/real_sequences.yaml").read_text())
    params["geometry"]["fusion"]["min_weight"] = 1
    params["labelled"]["validation_frames"] = {}
    params["dataset"]["validation_scenes"] = str(tmp_path / "held_out.txt")
    params["labelled"]["raw_dir"] = str(tmp_path / "labels")
    checkpoint = {"init": "checkpoint", "init_checkpoint": str(tmp_path / "resnet.pth")}
    params["variants"]["view"] |= checkpoint
    file = tmp_path / "params.yaml"
    arguments = ("--reader", "posed_folder", "--raw", tmp_path / "raw", "--params", file)

    file.write_text(yaml.safe_dump(params))
    assert check(*arguments)[0] == 0  # data/raw/... is another folder
    params["dataset"]["raw_dir"] = str(tmp_path / "raw")
    file.write_text(yaml.safe_dump(params))
    status, output = check(*arguments)
    assert status == 1
    assert "3 problems:" in output
    assert f"dataset.validation_scenes: {tmp_path / 'held_out.txt'} does not exist" in output
    assert f"labelled.raw_dir: {tmp_path / 'labels'} does not exist" in output
    assert f"{tmp_path / 'resnet.pth'} does not exist; it is the start of view" in output
    (tmp_path / "held_out.txt").touch()
    (tmp_path / "labels").mkdir()
    (tmp_path / "resnet.pth").touch()
    assert check(*arguments)[0] == 0


def test_estimate() -> None:
    """Two scenes of 20 and 30 frames cost 190 and 435 pairs; only one of them is fused."""
    reports = [SceneReport("a", 22, has_mesh=True), SceneReport("b", 30)]
    reports[0].skipped["no_pose"] = 2
    found = sum(report.core_seconds for report in reports)
    start, frame, pair, fused = 5.4, 0.04, 0.00028, 0.05
    assert found == pytest.approx(2 * start + 50 * frame + 30 * fused + (190 + 435) * pair)


@pytest.mark.parametrize(
    ("constant", "row", "unit"),
    [
        ("BYTES_PER_FRAME", "disk, all files of a scene", 1000),
        (
            "SECONDS_PER_FRAME",
            "raw .sens -> all artifacts (ScanNet's sizes, 1 of 25 frames kept)",
            0.001,
        ),
        ("SECONDS_PER_PAIR", "overlap, with down-sampling", 0.001),
        ("SECONDS_PER_SCENE", "three jobs of a scene of 2 frames, numba's cache warm", 1),
    ],
)
def test_costs_are_those_measured(constant: str, row: str, unit: float) -> None:
    """Of docs/artifacts.md, as far as another machine's may differ."""
    measured = {found["what"]: found["ours"] for found in read_measurements()["geometry"]["rows"]}
    assert 0.5 < getattr(check_raw, constant) / (measured[row] * unit) < 2


def test_real_sequences(sequences, check):
    status, output = check("--reader", "posed_folder", "--raw", sequences)
    assert status == 0
    assert "3 scenes, 79 frames to keep" in output
    assert cells(output, "shelf_labelled")[7] == "5/5 sampled"
