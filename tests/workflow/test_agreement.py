"""Snakemake and DVC agree on what is done, whatever was deleted, touched or checked out.

As in test_reruns.py, every test starts from and leaves a workspace that is complete.
"""

import shutil
from collections import Counter

import pytest

from pipeline import layout
from tests.workflow.conftest import DVC, SNAKEMAKE, Workspace

pytestmark = pytest.mark.timeout(900)
ARTIFACTS, SCENE = layout.artifacts_dir("smoke"), "scene0001_00"


def commands(called: Counter[str]) -> Counter[str]:
    """The same without arguments."""
    return Counter(line.split()[0] for line in called.elements())


def test_artifacts_made_again_with_the_same_content_train_nothing(finished: Workspace) -> None:
    """Not even a job that finds nothing to do: on a cluster each would wait for a GPU."""
    # Made anew from the raw data; a mere `touch` of them is seen through by their checksums.
    files = [layout.artifact(ARTIFACTS, SCENE, kind) for kind in ("frames", "overlaps")]
    called = finished.calls(*SNAKEMAKE, "--forcerun", *map(str, files))
    assert commands(called) == Counter(
        {
            "extract-frames": 1,
            "oversegment": 1,
            "find-overlaps": 1,
            "write-manifest": len(layout.ARTIFACT_KINDS),
            "run-stage": 1,
        }
    )
    assert called["run-stage artifacts@smoke"] == 1
    assert finished.calls(*DVC) == Counter()


def test_a_lost_artifact_stops_dvc_and_is_made_by_snakemake(finished: Workspace) -> None:
    file = layout.artifact(ARTIFACTS, SCENE, "labelled_frames")
    before = (finished.root / file).read_bytes()
    (finished.root / file).unlink()
    command = ("dvc", "repro", "--single-item", "--force", "finetune@smoke-view-0")
    stopped = finished.call(*command, check=False)
    assert stopped.returncode != 0
    assert f"{file}: missing" in stopped.stdout
    assert "`snakemake --cores 2 all_artifacts`" in stopped.stdout
    made = finished.count(*SNAKEMAKE)
    assert made["extract-frames"] == 1
    # DVC takes the outputs that it had removed from its cache.
    assert not made.keys() & {"make-room", "pretrain", "finetune", "make-tables"}
    assert (finished.root / file).read_bytes() == before
    assert finished.calls(*SNAKEMAKE) == finished.calls(*DVC) == Counter()


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
