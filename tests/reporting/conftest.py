"""Artifacts of an analytic room as the stages write them, and metrics of made-up runs."""

import json
import shutil
from pathlib import Path

import pytest

from pipeline import layout
from pipeline.schemas import open_artifact, write_table
from tests.raw_room import artifacts_dir, raw_dir  # noqa: F401
from tests.room import write_room

SCENE = "scene0000_00"


@pytest.fixture(scope="session")
def repository_with_scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Working directory with data/artifacts/rooms/scene0000_00."""
    root = tmp_path_factory.mktemp("repository")
    artifacts = root / layout.artifacts_dir("rooms")
    write_room(artifacts, SCENE)
    file = layout.artifact(artifacts, SCENE, "correspondences")
    metadata = {"matching_mode": "strict", "radius_m": "0.05"}
    stored = open_artifact(file, "correspondences")
    frames = [stored.read_row_group(group) for group in range(stored.num_row_groups)]
    write_table(file, "correspondences", frames, lambda: metadata)
    return root


@pytest.fixture(scope="session")
def repository_of_raw_room(
    artifacts_dir: Path,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Working directory with data/artifacts/rooms/scene0000_00, all tables as stages write them.

    Frame 8 has no pose, 9 no depth, 10 no colour, 11 a damaged picture.
    """
    root = tmp_path_factory.mktemp("repository_of_raw_room")
    shutil.copytree(
        layout.scene_dir(artifacts_dir, "room"), root / layout.artifacts_dir("rooms") / SCENE
    )
    return root


def write_run(folder: Path, variant: str, seed: int, scores: dict[str, float], **changes) -> None:
    """metrics.json of one run: the same scores for all protocols; `last` is worse by one.

    Args:
        folder: Of all finetuning results.
        variant: Slug.
        seed: Seed.
        scores: Task -> best value.
        changes: Top-level keys that differ.
    """
    cells = {
        f"{protocol}/{task}": {
            "best": {"miou" if task == "segmentation" else "score": value, "extra": 7.0},
            "last": {"miou" if task == "segmentation" else "score": value - 1, "per_class": {}},
            "curve": [
                {"step": step, "miou" if task == "segmentation" else "score": value - 6 + step}
                for step in (3, 6)
            ],
            "steps": 6,
            "seconds": 1.0,
        }
        for protocol in ("frozen", "half_frozen", "full")
        for task, value in scores.items()
    }
    content = {
        "variant": variant,
        "seed": seed,
        "dataset": "rooms",
        "cells": cells,
        "n_train": 12,
        "n_validation": 5,
        "skipped": {},
        **changes,
    }
    file = folder / f"{variant}-s{seed}" / "metrics.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(content))
