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
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from pipeline import layout
from tests.workflow.conftest import DVC, REPOSITORY, SNAKEMAKE, Workspace
from tests.workflow.slurm_cluster import Job, NoCluster, SlurmCluster

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(1500)]

#: As a user calls it; but Slurm is asked more often, which is rude on a cluster that is shared, and
#: jobs take no more threads than there are.
ON_SLURM = (
    *("snakemake", "--profile", "slurm", "all_tables", "--max-threads", "1"),
    *("--seconds-between-status-checks", "2", "--slurm-init-seconds-before-status-checks", "2"),
)
#: The one pretraining without Slurm and DVC.
ALONE = (
    *("env", "OMP_NUM_THREADS=1"),
    *("python", "-m", "pipeline", "pretrain", "--variant", "view", "--seed", "0"),
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
    assert trainings["pretrain"] + trainings["continue_pretraining"] == n_rows
    assert trainings["continue_pretraining"] == len(clone.params()["seeds"])
    assert trainings["finetune"] == n_rows
    assert trainings["predict_mean"] == 1  # not on the login node
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
    clone.edit("variants.view.learning_rate", 0.04)
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


@contextmanager
def changed_profile(clone: Workspace, rule: str, retries: int = 5, **resources) -> Iterator[None]:
    """The profile with other resources of a rule."""
    profile = clone.root / "slurm/profile.yaml"
    as_it_was = profile.read_text()
    settings = yaml.safe_load(as_it_was) | {"retries": retries}
    settings["set-resources"][rule] |= resources
    profile.write_text(yaml.safe_dump(settings))
    try:
        yield
    finally:
        profile.write_text(as_it_was)


@contextmanager
def long_training(cluster: SlurmCluster, clone: Workspace, steps: int) -> Iterator[list[Job]]:
    """A run whose one pretraining has that many steps; afterwards its Slurm jobs.

    It must end with the weights of one that nobody disturbs.
    """
    clone.edit_rows("view")
    clone.edit("seeds", [0])
    clone.edit("pretraining.steps", steps)
    before, trainings = len(cluster.jobs()), []
    with (clone.root / "snakemake.log").open("w") as log:
        snakemake = subprocess.Popen(
            ON_SLURM, cwd=clone.root, env=clone.environment, stdout=log, stderr=log
        )
    try:
        yield trainings
        snakemake.wait(900)
    finally:
        snakemake.kill()  # if it has not ended
    assert snakemake.wait() == 0, (clone.root / "snakemake.log").read_text()[-6000:]
    trainings += [job for job in cluster.jobs()[before:] if "pretrain" in job["Comment"]]

    weights = clone.root / layout.pretrained("smoke", "view", 0) / "model.safetensors"
    disturbed = weights.read_bytes()
    clone.call(*ALONE)
    assert weights.read_bytes() == disturbed


def test_a_training_that_is_stopped_cancelled_and_loses_its_node(
    cluster: SlurmCluster, clone: Workspace
) -> None:
    with long_training(cluster, clone, 150) as trainings:
        first = next_training(cluster, clone, "")
        cluster.call("scancel", "--signal=TERM", first)
        second = next_training(cluster, clone, first)
        cluster.call("scancel", second)
        next_training(cluster, clone, second)
        cluster.kill_nodes()
        time.sleep(15)
        cluster.start_nodes()
    assert [job["JobState"] for job in trainings] == ["FAILED", "CANCELLED", "COMPLETED"]
    assert [job["Restarts"] for job in trainings] == ["0", "0", "1"]  # queued again by Slurm itself
    memory = [int(job["MinMemoryNode"].rstrip("M")) for job in trainings]
    assert memory[1] == pytest.approx(2 * memory[0], abs=2)


@pytest.mark.slurm_long
def test_a_training_longer_than_its_time_limit(cluster: SlurmCluster, clone: Workspace) -> None:
    """The profile's signal comes half a minute to a minute after the start of each attempt."""
    with (
        changed_profile(clone, "pretrain", runtime=3, retries=20),
        long_training(cluster, clone, 1500) as trainings,
    ):
        pass
    states = [job["JobState"] for job in trainings]
    assert states == [*["FAILED"] * (len(states) - 1), "COMPLETED"]
    assert len(states) > 1


def test_a_training_over_two_nodes(cluster: SlurmCluster, clone: Workspace) -> None:
    """As slurm/profile.yaml says; with the weights of one process, but for the sums' last bits."""
    clone.edit("pretraining.steps", 10)
    clone.edit("pretraining.accumulation", 2)
    with changed_profile(clone, "pretrain", nodes=2, tasks_per_node=2, mpi="'srun'"):
        found = submitted(cluster, clone, *ON_SLURM)
    rules = Counter(name.split("_")[0] for name in found.elements())
    assert rules == Counter({"pretrain": 1, "finetune": 1})
    log = (clone.root / "logs/pretrain/smoke-view-0.log").read_text()
    assert "2 processes train together" in log
    job = next(job for job in reversed(cluster.jobs()) if "pretrain" in job["Comment"])
    assert job["NumNodes"] == "2"
    weights = clone.root / layout.pretrained("smoke", "view", 0) / "model.safetensors"
    of_two = load_file(weights)
    clone.call(*ALONE)
    for name, tensor in load_file(weights).items():
        torch.testing.assert_close(of_two[name], tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.slurm_long
def test_a_scene_that_needs_more_memory(cluster: SlurmCluster, clone: Workspace) -> None:
    """Its job is killed and gets more, and more time; the groups are retried as a whole."""
    n_before = len(cluster.jobs())
    clone.edit("geometry.overlaps.radius_m", 0.07)
    with changed_profile(clone, "find_overlaps", mem_mb="75 * attempt"):
        clone.call(*ON_SLURM)
    jobs = [job for job in cluster.jobs()[n_before:] if "scenes" in job["Comment"]]
    states = [job["JobState"] for job in jobs]
    assert states[-1] == "COMPLETED"
    assert "COMPLETED" not in states[:-1]
    memory = [int(job["MinMemoryNode"].rstrip("M")) for job in jobs]
    assert len(memory) > 1
    assert memory == sorted(memory)
    assert memory[-1] > memory[0]
    assert jobs[-1]["TimeLimit"] > jobs[0]["TimeLimit"]


def test_other_params_through_slurm(cluster: SlurmCluster, clone: Workspace) -> None:
    """After the tests above there is one row with one seed."""
    clone.edit("pretraining.steps", 10)
    clone.edit("geometry.overlaps.radius_m", 0.06)
    found = Counter(name.split("_")[0] for name in submitted(cluster, clone, *ON_SLURM).elements())
    assert found == Counter({"scenes": 1, "lists": 1, "pretrain": 1, "finetune": 1})
    clone.edit("finetuning.learning_rate", 0.03)
    found = submitted(cluster, clone, *ON_SLURM)
    assert [name.split("_")[0] for name in found.elements()] == ["finetune"]


def next_training(cluster: SlurmCluster, clone: Workspace, last: str) -> str:
    """Wait for a checkpoint that a pretraining after the last one writes; its job."""
    end = time.monotonic() + 300
    known: set[str] | None = None
    while time.monotonic() < end:
        time.sleep(0.2)
        running = [job["JobId"] for job in cluster.jobs() if job["JobState"] == "RUNNING"]
        files = (clone.root / layout.CHECKPOINTS).rglob("step-*.safetensors")
        if not running or running == [last]:
            continue
        found = {file.name for file in files}
        if known is None:
            known = found
        elif found - known:
            return running[0]
    raise AssertionError((clone.root / "snakemake.log").read_text()[-6000:])
