"""`snakemake --profile slurm all_tables` on a real Slurm: `pytest -m slurm` (as root).

The tests follow one another in one clone; each leaves it complete for its params.
"""

import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import layout
from tests.workflow.conftest import DVC, REPOSITORY, SNAKEMAKE, Workspace
from tests.workflow.slurm_cluster import NoCluster, SlurmCluster

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(1500)]

#: As a user calls it; but Slurm is asked more often, which is rude on a cluster that is shared, and
#: jobs take no more threads than there are.
ON_SLURM = (
    *("snakemake", "--profile", "slurm", "all_tables", "--max-threads", "1"),
    *("--seconds-between-status-checks", "2", "--slurm-init-seconds-before-status-checks", "2"),
)


@pytest.fixture(scope="session")
def cluster() -> Iterator[SlurmCluster]:
    """A running cluster; short path, since it holds a socket."""
    root = Path(tempfile.mkdtemp(prefix="slurm-")) / "cluster"
    cluster = SlurmCluster(root)
    try:
        cluster.start()
    except NoCluster as error:
        pytest.skip(f"no Slurm here: {error}")
    yield cluster
    cluster.stop()
    shutil.rmtree(root.parent)


@pytest.fixture(scope="session")
def clone(cluster: SlurmCluster, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A clone with the smoke preset and the profile as it stands, with nothing made yet."""
    workspace = Workspace(tmp_path_factory.mktemp("slurm"))
    shutil.copytree(REPOSITORY / "slurm", workspace.root / "slurm")
    shutil.copy(REPOSITORY / "presets/smoke.yaml", workspace.root / "params.yaml")
    return workspace


def submitted(cluster: SlurmCluster, workspace: Workspace, *command: str) -> Counter[str]:
    """Run a command; what it submitted: the rules, or the group, of each Slurm job."""
    before = {job["JobId"] for job in cluster.jobs()}
    workspace.call(*command)
    new = [job for job in cluster.jobs() if job["JobId"] not in before]
    assert all(job["JobState"] == "COMPLETED" for job in new), new
    return Counter(re.sub(r"^(rule_|group_)?", "", job["Comment"]) for job in new)


def test_everything_through_sbatch(cluster: SlurmCluster, clone: Workspace) -> None:
    n_rows = len(clone.params()["rows"]) * len(clone.params()["seeds"])
    found = submitted(cluster, clone, *ON_SLURM)
    tables = list((clone.root / "results/tables/smoke").glob("*.csv"))
    assert tables
    # Six rooms are one job; so are all lists.
    scenes, lists = (
        [name for name in found if name.startswith(group)] for group in ("scenes", "lists")
    )
    assert [found[name] for name in scenes] == [1]
    assert sum(found[name] for name in lists) <= 2  # the scene lists come before everything
    trainings = Counter(name.split("_wildcards")[0] for name in found.elements())
    assert trainings["pretrain"] == trainings["finetune"] == n_rows
    for job in cluster.jobs():
        is_training = "pretrain" in job["Comment"] or "finetune" in job["Comment"]
        assert job["Partition"] == ("gpu" if is_training else "cpu")
        assert ("gres:gpu:1" in job.get("TresPerNode", "")) == is_training


def test_again_submits_nothing(cluster: SlurmCluster, clone: Workspace) -> None:
    assert submitted(cluster, clone, *ON_SLURM) == Counter()
    assert clone.count(*DVC) == Counter()


def test_a_param_submits_what_depends_on_it(cluster: SlurmCluster, clone: Workspace) -> None:
    clone.edit("variants.view.learning_rate", 0.05)
    found = submitted(cluster, clone, *ON_SLURM)
    n_seeds = len(clone.params()["seeds"])
    rules = Counter(name.split("_wildcards")[0] for name in found.elements())
    assert rules == Counter({"pretrain": n_seeds, "finetune": n_seeds})
    assert clone.count(*DVC) == Counter()


def test_after_dvc_nothing_is_submitted(cluster: SlurmCluster, clone: Workspace) -> None:
    clone.edit("finetuning.learning_rate", 0.02)
    assert clone.count(*DVC)["finetune"] > 0
    assert submitted(cluster, clone, *ON_SLURM) == Counter()


def test_geometry_of_dvc_goes_through_slurm(cluster: SlurmCluster, clone: Workspace) -> None:
    """SNAKEMAKE_PROFILE is the one setting that sends the nested Snakemake to the cluster."""
    clone.edit("geometry.oversegmentation.min_vertices", 25)
    clone.environment["SNAKEMAKE_PROFILE"] = "slurm"
    try:
        found = submitted(cluster, clone, *DVC)
    finally:
        del clone.environment["SNAKEMAKE_PROFILE"]
    assert {name.split("_")[0] for name in found} == {"scenes", "lists"}
    assert submitted(cluster, clone, *ON_SLURM) == Counter()
    assert clone.count(*SNAKEMAKE) == Counter()


def test_a_training_that_everything_happens_to(cluster: SlurmCluster, clone: Workspace) -> None:
    """Its time limit comes near, it is cancelled, its node is lost: it ends as if nothing was."""
    steps = 150
    clone.edit("rows", ["view"])
    clone.edit("seeds", [0])
    clone.edit("pretraining.steps", steps)
    before = len(cluster.jobs())
    with (clone.root / "snakemake.log").open("w") as log:
        snakemake = subprocess.Popen(
            ON_SLURM, cwd=clone.root, env=clone.environment, stdout=log, stderr=log
        )
    for happens in (
        lambda job: cluster.call("scancel", "--signal=TERM", job),
        lambda job: cluster.call("scancel", job),
        lambda job: (cluster.kill_node(), time.sleep(15), cluster.start_node()),
    ):
        happens(_job_at_work(cluster, clone))
    assert snakemake.wait(600) == 0, (clone.root / "snakemake.log").read_text()[-6000:]
    trainings = [job for job in cluster.jobs()[before:] if "pretrain" in job["Comment"]]
    assert [job["JobState"] for job in trainings] == ["FAILED", "CANCELLED", "COMPLETED"]
    # Each attempt is given more memory; the lost node's job was queued again by Slurm itself.
    memory = [int(job["MinMemoryNode"].rstrip("M")) for job in trainings]
    assert memory == pytest.approx([memory[0], 2 * memory[0], 3 * memory[0]], abs=3)
    assert [job["Restarts"] for job in trainings] == ["0", "0", "1"]

    weights = clone.root / layout.pretrained("smoke", "view", 0) / "model.safetensors"
    disturbed = weights.read_bytes()
    alone = {**clone.environment, "OMP_NUM_THREADS": "1"}
    command = ["python", "-m", "pipeline", "pretrain", "--variant", "view", "--seed", "0"]
    subprocess.run(command, cwd=clone.root, env=alone, check=True, capture_output=True)
    assert weights.read_bytes() == disturbed


def _job_at_work(cluster: SlurmCluster, clone: Workspace) -> str:
    """Wait for a checkpoint that a running pretraining has written; its job."""
    folder = clone.root / layout.CHECKPOINTS
    known = {file.name for file in folder.rglob("step-*.safetensors")}
    end = time.monotonic() + 300
    while time.monotonic() < end:
        time.sleep(0.2)
        if {file.name for file in folder.rglob("step-*.safetensors")} - known:
            jobs = [job for job in cluster.jobs() if "pretrain" in job["Comment"]]
            return jobs[-1]["JobId"]
    raise AssertionError((clone.root / "snakemake.log").read_text()[-6000:])
