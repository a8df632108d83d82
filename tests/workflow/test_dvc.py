"""What users of DVC expect: results and artifacts that travel, experiments, figures, a profile."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.workflow.conftest import DVC, SNAKEMAKE, Workspace

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
N_SCENES, N_ROWS = 3, 2
TABLE = "results/tables/smoke/000_table1.csv"
SHARED = "manifests/smoke/artifacts.dvc"
#: A param that only the tables stage, which reads artifacts, depends on.
OF_TABLES = "pretraining.checkpoint_every=9"


@pytest.fixture(scope="module")
def origin(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Where everything was made: committed, and pushed to a remote."""
    folder = tmp_path_factory.mktemp("dvc")
    workspace = finished.copy(folder / "origin")
    for key in ("name", "email"):
        workspace.call("git", "config", f"user.{key}", "tests@example.org")
    (workspace.root / ".git/info/exclude").write_text("bin\ntrace.txt\n__pycache__\n")
    workspace.call("dvc", "remote", "add", "--default", "store", str(folder / "store"))
    push(workspace)
    return workspace


def push(workspace: Workspace) -> None:
    """Commit what users commit, and push the rest."""
    workspace.call("git", "add", "--all")
    workspace.call("git", "commit", "--quiet", "--message", "x")
    workspace.call("dvc", "push")


def pull(origin: Workspace, root: Path) -> Workspace:
    """Another clone, with what the remote has."""
    origin.call("git", "clone", "--quiet", str(origin.root), str(root))
    clone = origin.at(root)
    clone.environment["PYTHONPATH"] = str(origin.root)  # the same, with compiled kernels
    clone.call("dvc", "pull")
    return clone


def show(workspace: Workspace, *command: str) -> dict:
    """What a command of DVC prints as JSON."""
    return json.loads(workspace.call("dvc", *command, "--json").stdout)


def test_results_travel_without_data(origin: Workspace, tmp_path: Path) -> None:
    clone = pull(origin, tmp_path / "clone")
    for file in (TABLE, "models/smoke/pretrained/view-s0/model.safetensors"):
        assert (clone.root / file).read_bytes() == (origin.root / file).read_bytes()
    assert clone.count(*DVC) == Counter()
    assert "Nothing to be done" in clone.call(*SNAKEMAKE).stdout
    assert not (clone.root / "data").exists()
    # With real data, which cannot be made again, the manifests are not taken for those of others.
    clone.edit("rooms", None)
    clone.edit("geometry.overlaps.radius_m", 0.06)
    refused = clone.call("snakemake", "-n", "all_tables", check=False)
    assert refused.returncode
    assert "manifests/smoke came from elsewhere" in refused.stdout


def test_experiments(origin: Workspace) -> None:
    made = origin.count("dvc", "exp", "run", "--set-param", "finetuning.learning_rate=0.02")
    assert made == Counter({"finetune": N_ROWS, "make-tables": 1})
    changed = show(origin, "params", "diff")["params.yaml"]
    assert changed == {"finetuning.learning_rate": {"old": 0.01, "new": 0.02, "diff": 0.01}}
    scores = show(origin, "metrics", "diff")
    cells = {f"frozen.{task}" for task in ("depth", "reconstruction", "segmentation")}
    for row in ("none", "view"):
        found = scores[f"results/tables/smoke/metrics/{row}.json"].keys()
        assert found
        assert found <= cells  # a score may be the same by chance
    assert "finetuning.learning_rate" in origin.call("dvc", "exp", "show", "--csv").stdout
    # One figure of the losses and one a cell, each with a line a row.
    plots = show(origin, "plots", "show")["data"]
    assert {Path(name).stem for name in plots} == {
        *("pretraining", "frozen-depth", "frozen-reconstruction", "frozen-segmentation")
    }
    lines = plots["results/tables/smoke/curves/rows/frozen-depth.json"][0]["content"]["data"][
        "values"
    ]
    assert {(line["field"], line["step"]) for line in lines} == {
        (row, step) for row in ("none", "view") for step in (1, 2)
    }
    assert "finetune@smoke-view-0" in origin.call("dvc", "dag", "tables@smoke").stdout
    origin.call("git", "checkout", ".")
    origin.call("dvc", "checkout")
    refused = origin.call("dvc", "exp", "run", "--temp", "-S", OF_TABLES, check=False)
    assert refused.returncode
    assert "python -m pipeline share-artifacts" in refused.stdout


def test_shared_artifacts(origin: Workspace, tmp_path: Path) -> None:
    origin.call("python", "-m", "pipeline", "share-artifacts")
    assert "Nothing to be done" in origin.call(*SNAKEMAKE).stdout
    recorded = yaml.safe_load((origin.root / SHARED).read_text())["outs"]
    assert [Path(entry["path"]).name for entry in recorded] == [
        f"scene000{number}_00" for number in range(N_SCENES)
    ]
    push(origin)
    experiment = origin.call("dvc", "exp", "run", "--temp", "-S", OF_TABLES)
    assert "Ran experiment(s)" in experiment.stdout
    origin.call(
        "dvc", "exp", "run", "--queue", "--name", "queued", "-S", "finetuning.dampening=0.2"
    )
    origin.call("dvc", "exp", "run", "--run-all")
    changed = show(origin, "params", "diff", "HEAD", "queued")["params.yaml"]
    assert changed == {"finetuning.dampening": {"old": 0.1, "new": 0.2, "diff": 0.1}}
    assert show(origin, "metrics", "diff", "HEAD", "queued")

    clone = pull(origin, tmp_path / "clone")
    # The times of a download say nothing, in the worst case the contrary.
    scene = clone.root / "data/artifacts/smoke/scene0001_00"
    os.utime(scene / "segments.parquet", (1e9, 1e9))
    os.utime(clone.root / SHARED, (1e9, 1e9))
    assert "Nothing to be done" in clone.call(*SNAKEMAKE).stdout
    for file in scene.iterdir():
        assert file.read_bytes() == (origin.root / file.relative_to(clone.root)).read_bytes()
    # Snakemake has no record of what made the files, but dvc.lock has; nobody needs raw data.
    clone.edit("geometry.oversegmentation.min_vertices", 23)
    assert clone.count(*SNAKEMAKE) == Counter(
        {"oversegment": N_SCENES, "write-manifest": 2, "share-artifacts": 1}
    )
    assert "up to date" in clone.call("dvc", "status").stdout
    assert (clone.root / SHARED).read_text() != (origin.root / SHARED).read_text()


def test_nested_snakemake_uses_the_profile(origin: Workspace) -> None:
    profile = origin.root / "site"
    profile.mkdir()
    (profile / "config.yaml").write_text("cores: 7\nforcerun: write_split\n")
    origin.environment["SNAKEMAKE_PROFILE"] = "site"
    try:
        made = origin.call("dvc", "repro", "--force", "--single-item", "artifacts@smoke").stdout
    finally:
        del origin.environment["SNAKEMAKE_PROFILE"]
    assert "Provided cores: 7" in made
