"""Snakemake and DVC agree on what is done, whatever was deleted or checked out.

As in test_reruns.py, every test starts from and leaves a workspace that is complete.
"""

import shutil
from collections import Counter

import pytest

from pipeline import layout
from tests.workflow.conftest import DVC, SNAKEMAKE, Workspace

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
TRAINING = "pretrain@smoke-none-0"


def test_a_lost_artifact_stops_dvc_and_is_made_by_snakemake(finished: Workspace) -> None:
    file = layout.artifact(layout.artifacts_dir("smoke"), "scene0001_00", "overlaps")
    before = (finished.root / file).read_bytes()
    (finished.root / file).unlink()
    stopped = finished.call("dvc", "repro", "--single-item", "--force", TRAINING, check=False)
    assert stopped.returncode != 0
    assert f"{file}: missing" in stopped.stdout
    assert "`snakemake --cores 2 all_artifacts`" in stopped.stdout
    # The weights, which DVC had removed before, come from its cache.
    assert finished.count(*SNAKEMAKE) == Counter({"find-overlaps": 1, "write-manifest": 1})
    assert (finished.root / file).read_bytes() == before
    assert finished.calls(*DVC) == Counter()


def test_a_damaged_artifact_stops_dvc_and_is_made_again(finished: Workspace) -> None:
    """Damaged as disks do it: the size and the time stay."""
    folder = layout.artifacts_dir("smoke")
    file = layout.artifact(folder, "scene0001_00", "frames")
    target = finished.root / file
    before = target.read_bytes()
    with target.open("r+b") as damaged:
        damaged.seek(len(before) // 2)
        damaged.write(b"\0" * 64)
    stopped = finished.call("dvc", "repro", "--single-item", "--force", TRAINING, check=False)
    assert stopped.returncode
    assert f"{file}: is not the file that manifests/smoke/frames.json lists" in stopped.stdout
    named = finished.call("python", "-m", "pipeline", "validate", str(folder), check=False)
    assert named.returncode
    assert f"{file}" in named.stdout

    target.unlink()
    assert finished.count(*SNAKEMAKE)["extract-frames"] == 1
    assert target.read_bytes() == before
    assert finished.calls(*DVC) == Counter()


def test_deleted_models_from_dvc(finished: Workspace) -> None:
    models = finished.root / "models/smoke"
    shutil.rmtree(models)
    assert finished.count(*DVC) == Counter()  # they come from its cache
    assert len(list(models.glob("*/*"))) == 4
    assert finished.calls(*SNAKEMAKE) == Counter()


def test_another_revision_and_back(finished: Workspace) -> None:
    def commit() -> None:
        finished.call("git", "add", "params.yaml", "dvc.lock", "manifests", "fingerprints")
        user = ("-c", "user.name=user", "-c", "user.email=user@example.org")
        finished.call("git", *user, "commit", "--quiet", "--message", "a run")

    metrics = finished.root / layout.finetune_results("smoke", "view", 0) / "metrics.json"
    finished.call("git", "checkout", "--quiet", "-b", "revisions")
    commit()
    before = metrics.read_bytes()
    finished.edit("finetuning.momentum", 0.5)
    finished.call(*SNAKEMAKE)
    commit()
    after = metrics.read_bytes()
    assert after != before
    for revision, expected in (("revisions~1", before), ("revisions", after)):
        finished.call("git", "checkout", "--quiet", revision)
        finished.call("dvc", "checkout")
        assert metrics.read_bytes() == expected
        assert finished.calls(*SNAKEMAKE) == Counter()
        assert finished.calls(*DVC) == Counter()
