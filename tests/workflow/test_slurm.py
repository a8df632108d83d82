"""`snakemake --profile slurm all_tables` on a real Slurm: `pytest -m slurm` (as root).

The tests follow one another in one clone; each leaves it complete for its params.
"""

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

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
