"""The presets at the papers' scale, planned on a few scenes in ScanNet's true layout."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.workflow import OF_ALL_SCENES, Clone, planned_jobs
from pipeline import layout
from pipeline.config import Params, load_params
from tests.workflow.conftest import REPOSITORY, Workspace

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
N_SCENES = 4
PLAN = ("snakemake", "-n", "all_tables")


def trainings(params: Params) -> dict[str, int]:
    """Rule -> trainings that the rows of the tables need, counted from the lists alone."""
    seeds, fractions, networks = len(params.seeds), params.label_fractions, params.networks
    counts = {
        "pretrain": len(params.first_stage),
        "continue_pretraining": sum(
            "_then_" in row for row in params.all_rows if params.first_stage
        ),
        "finetune": len(params.rows),
        "finetune_segmentation": len(params.segmentation_rows),
        "finetune_fraction": len(fractions.rows) * len(fractions.percents),
        "finetune_network": len(networks.rows) * len(networks.names),
    }
    return {rule: seeds * number for rule, number in counts.items() if number}


def check_plan(output: str, params: Params, n_scenes: int) -> None:
    jobs = planned_jobs(output)
    of_scenes = {"extract_frames", "find_overlaps", "oversegment"}
    assert {jobs.pop(rule) for rule in of_scenes} == {n_scenes}
    for rule in OF_ALL_SCENES | {"all_tables", "artifacts", "predict_mean", "tables"}:
        jobs.pop(rule, None)
    assert jobs == trainings(params)


@pytest.mark.parametrize("preset", ["paper_000", "paper_001"])
def test_scannet(tmp_path: Path, preset: str) -> None:
    clone = Clone(tmp_path / "clone", N_SCENES, preset)
    params = load_params(clone.root / "params.yaml")
    check_plan(clone.call(*PLAN).stdout, params, N_SCENES)


def write_nyuv2(root: Path) -> None:
    """Images as presets/paper_001_nyuv2.yaml asks for them."""
    v, u = np.mgrid[:480, :640]
    number = 0
    for scene, count in (("train", 4), ("test", 3)):
        for kind in ("color", "depth", "label", "pose"):
            (root / scene / kind).mkdir(parents=True)
        (root / scene / "intrinsics.txt").write_text("518.9 0 325.6\n0 519.5 253.7\n0 0 1\n")
        for _ in range(count):
            number += 1
            pictures = {
                "color": np.repeat((u[..., None] // 3 + number).astype(np.uint8), 3, axis=2),
                "depth": (1500 + u + 2 * v).astype(np.uint16),
                "label": (u // 46).astype(np.uint8),
            }
            for kind, picture in pictures.items():
                cv2.imwrite(str(root / scene / kind / f"{number}.png"), picture)
            pose = "\n".join(" ".join(map(str, row)) for row in np.eye(4))
            (root / scene / "pose" / f"{number}.txt").write_text(pose)


def test_nyuv2(tmp_path: Path) -> None:
    """Planned, and its artifacts made: each scene's single frame is enough for them."""
    clone = Workspace(tmp_path / "clone")
    shutil.copy(REPOSITORY / "presets/paper_001_nyuv2.yaml", clone.root / "params.yaml")
    params = load_params(clone.root / "params.yaml")
    write_nyuv2(clone.root / params.dataset.raw_dir)
    check_plan(clone.call(*PLAN).stdout, params, n_scenes=2)
    clone.call("snakemake", "--cores", "1", "all_artifacts")
    artifacts = clone.root / layout.artifacts_dir("nyuv2")
    clone.call("python", "-m", "pipeline", "validate", str(artifacts))
    log = (clone.root / "logs/extract_frames/train.log").read_text()
    assert "1 frames: 1 ok" in log
    assert "labelled: 4 frames: 4 ok" in log
