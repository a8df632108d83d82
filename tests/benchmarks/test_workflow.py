"""The clone of benchmarks.workflow: that it measures what a user would run."""

from pathlib import Path

import pytest

from benchmarks.workflow import (
    OF_ALL_SCENES,
    Clone,
    job_command,
    measure,
    own_seconds,
    scene_names,
    workflow_rows,
)
from pipeline.__main__ import JOBS, _cost


def test_names_are_scannets() -> None:
    names = scene_names(1513)
    assert len(set(names)) == 1513
    assert names == sorted(names)
    assert names[:3] == ["scene0000_00", "scene0000_01", "scene0000_02"]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return Clone(tmp_path_factory.mktemp("clone"), 2)


def test_three_jobs_and_eight_files_a_scene(clone: Clone) -> None:
    rows = {row.what: row for row in workflow_rows(clone)}
    assert rows["jobs a scene"].ours == 3
    assert rows["artifacts a scene"].ours == 8
    # Every rule was planned: two scenes, seven kinds of artifacts, the lists and the target.
    assert rows["jobs"].ours == 2 * 3 + 7 + 1 + 1
    assert all(rule in rows["jobs"].note for rule in OF_ALL_SCENES)
    assert all(row.is_met is not False for row in rows.values())


def test_a_job_of_a_scene_looks_at_that_scene_only(clone: Clone) -> None:
    """4,539 Slurm jobs must not each read DVC's files and list all scenes."""
    (clone.root / "dvc.yaml").write_text("stages: [")
    clone.edit("dataset.scenes", "missing.txt")
    scene = clone.scenes[0]
    mesh = clone.artifacts / scene / "mesh.ply"
    mesh.unlink()
    measure(clone, job_command(scene))
    assert mesh.is_file()


def test_seconds_are_those_of_the_logs(tmp_path: Path) -> None:
    """Of `dvc repro`'s lines in between nothing counts."""
    (tmp_path / "rule").mkdir()
    for number, command in enumerate([*JOBS, "pretrain"]):
        text = f"Running stage 'x':\n> python -m pipeline\n{_cost(command, 1.5)}\nUse `dvc push`"
        (tmp_path / "rule" / f"{number}.log").write_text(text)
    assert own_seconds(tmp_path) == {**dict.fromkeys(JOBS, 1.5), "pretrain": 3.0}
