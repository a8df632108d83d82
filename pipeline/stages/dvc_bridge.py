"""What Snakemake knows of DVC's stages: their inputs, and whether they are up to date.

Ownership: Snakemake owns the per-scene Parquet files and the manifests, DVC the trained models,
metrics and tables. A training rule's output is a stamp, the stage's entry of dvc.lock. Stamps are
only a view of DVC's state: `reconcile` rewrites them before every plan, so whatever `dvc repro`,
`dvc checkout` or a deleted models/ folder did is seen by Snakemake without running a job.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import yaml

from pipeline import layout
from pipeline.atomic import write_text
from pipeline.stages.common import StageError


@dataclass(frozen=True)
class DvcStage:
    """One stage item of dvc.yaml with the params of this workspace filled in.

    Attributes:
        name: e.g. `pretrain@rooms-view-0`.
        inputs: what makes its Snakemake rule run: manifests, and the stamps of upstream stages.
        after: stamps that it only waits for: DVC locks the manifests while it records them.
    """

    name: str
    inputs: tuple[str, ...]
    after: tuple[str, ...]

    @property
    def rule(self) -> str:
        """Name of the stage in dvc.yaml, and of its Snakemake rule."""
        return self.name.partition("@")[0]


def is_artifacts(stage: str) -> bool:
    """Whether DVC only records what Snakemake made: the manifests."""
    return stage.startswith("artifacts@")


def load_stages() -> dict[str, DvcStage]:
    """Read dvc.yaml, in an order in which every stage follows those it depends on.

    Raises:
        StageError: dvc.yaml and params.yaml do not fit together.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from networkx import topological_sort

    try:
        repo = Repo()
        graph = repo.index.graph
    except DvcException as error:
        raise StageError(f"dvc.yaml cannot be read with this params.yaml: {error}") from error
    root = Path(repo.root_dir)
    stages: dict[str, DvcStage] = {}
    for stage in reversed(list(topological_sort(graph))):
        recorded = stage.outs if is_artifacts(stage.addressing) else stage.deps
        paths = [Path(entry.fs_path) for entry in recorded]
        manifests = [path.relative_to(root) for path in paths if root / "manifests" in path.parents]
        upstream = sorted(other.addressing for other in graph.successors(stage))
        stamps = {name: str(layout.stamp(name)) for name in upstream}
        stages[stage.addressing] = DvcStage(
            stage.addressing,
            inputs=(
                *map(str, manifests),
                *(stamp for name, stamp in stamps.items() if not is_artifacts(name)),
            ),
            after=tuple(stamp for name, stamp in stamps.items() if is_artifacts(name)),
        )
    repo.close()
    return stages


def changed_stages() -> set[str]:
    """Names of the stages that `dvc repro` would run, as far as DVC alone can tell.

    A stage that somebody runs at this moment counts as changed: DVC has locked its files.
    """
    from dvc.lock import LockError
    from dvc.repo import Repo

    changed = set()
    # The lock of the folder is held by DVC for moments only, so waiting for it is right.
    with Repo(_wait_for_lock=True) as repo, repo.lock:
        for stage in repo.index.stages:
            try:
                changed |= stage.status().keys()
            except LockError:
                changed.add(stage.addressing)
    return changed


def lock_entry(stage: str) -> str | None:
    """The stage's entry of dvc.lock as text, or None where it never ran."""
    lock = Path("dvc.lock")
    if not lock.exists():
        return None
    entry = (yaml.safe_load(lock.read_text()) or {}).get("stages", {}).get(stage)
    return None if entry is None else json.dumps(entry, indent=1, sort_keys=True) + "\n"


def write_stamp(stage: str) -> None:
    """Write the stamp of a stage that just ran.

    Raises:
        StageError: dvc.lock has no entry for it.
    """
    entry = lock_entry(stage)
    if entry is None:
        raise StageError(f"dvc.lock has no entry for {stage}: DVC did not record its run")
    write_text(layout.stamp(stage), entry)


def reconcile(stages: dict[str, DvcStage]) -> None:
    """Make the stamps say what DVC says; call it in Snakemake's main process only.

    A stage that DVC would run loses its stamp, and so do those that depend on it (Snakemake makes
    a missing file only for a job that it plans anyway). One that is up to date gets it, with a
    time not older than its inputs', so that Snakemake plans neither a run nor a rerun.

    Args:
        stages: As `load_stages` returns them: upstream first.
    """
    changed = changed_stages()
    missing: set[str] = set()
    for name, stage in stages.items():
        stamp = layout.stamp(name)
        entry = lock_entry(name)
        if is_artifacts(name):
            if stamp.exists() and (name in changed or entry is None):
                os.utime(stamp, ns=(0, 0))  # missing, it would make all that waits for it run
                continue
        elif name in changed or entry is None or missing.intersection(stage.inputs):
            stamp.unlink(missing_ok=True)
            missing.add(str(stamp))
            continue
        if entry is None or name in changed:
            continue
        if not stamp.exists() or stamp.read_text() != entry:
            write_text(stamp, entry)
        newest = max((os.stat(p).st_mtime_ns for p in stage.inputs if Path(p).exists()), default=0)
        if stamp.stat().st_mtime_ns < newest:
            os.utime(stamp, ns=(newest, newest))
