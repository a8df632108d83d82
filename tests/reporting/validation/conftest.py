"""Artifacts of the analytic room in both match modes and with everything that is optional."""

from pathlib import Path

import pytest

from pipeline.config import Params
from pipeline.stages.extract_frames import extract_scene
from pipeline.stages.find_overlaps import find_scene_overlaps
from pipeline.stages.oversegment import oversegment_scene
from tests.raw_room import artifacts_dir, raw_dir, raw_params  # noqa: F401
from tests.reporting.validation.broken import copy_scene


def with_options(params: Params) -> Params:
    """Ray-cast sets, and pixel pairs of frames that overlap by half."""
    geometry = params.geometry
    sets = geometry.sets.model_copy(update={"projection": "ray_casting"})
    overlaps = geometry.overlaps.model_copy(update={"pixel_pairs_from": 0.5})
    updated = geometry.model_copy(update={"sets": sets, "overlaps": overlaps})
    return params.model_copy(update={"geometry": updated})


@pytest.fixture(scope="session")
def made_with_options(raw_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:  # noqa: F811
    """Match mode -> artifacts folder, with ray-cast sets and stored pixel pairs."""
    folders = {}
    for mode in ("strict", "pri3d"):
        params, out = with_options(raw_params(raw_dir, mode=mode)), tmp_path_factory.mktemp(mode)
        for stage in (extract_scene, oversegment_scene, find_scene_overlaps):
            stage(params, "room", out)
        folders[mode] = out
    return folders


@pytest.fixture
def folder(artifacts_dir: Path, tmp_path: Path) -> Path:  # noqa: F811
    """Strict matches, sets through voxels, no pixel pairs."""
    return copy_scene(artifacts_dir, tmp_path)


@pytest.fixture
def pri3d_folder(made_with_options: dict[str, Path], tmp_path: Path) -> Path:
    """Pri3D's matches, ray-cast sets, pixel pairs."""
    return copy_scene(made_with_options["pri3d"], tmp_path)


@pytest.fixture
def strict_folder(made_with_options: dict[str, Path], tmp_path: Path) -> Path:
    """Strict matches, ray-cast sets, pixel pairs."""
    return copy_scene(made_with_options["strict"], tmp_path)
