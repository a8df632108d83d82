"""What Snakemake knows of DVC's stages: their inputs, and whether they are up to date.

Ownership: Snakemake owns the per-scene Parquet files and the manifests, DVC the trained models,
metrics and tables. A training rule's output is a stamp, the stage's entry of dvc.lock. Stamps are
only a view of DVC's state: `reconcile` rewrites them before every plan, so whatever `dvc repro`,
`dvc checkout` or a deleted models/ folder did is seen by Snakemake without running a job.
"""

import fcntl
import json
import logging
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline import layout
from pipeline.atomic import write_text
from pipeline.stages.common import StageError
from pipeline.yaml_file import YamlError, read_yaml

#: Reads of a dvc.lock that another run may be writing, a few seconds in all.
_LOCK_READS, _LOCK_PAUSE_S = 20, 0.25
#: The stage of dvc.yaml that writes fingerprints/.
CODE = "code"


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
    from networkx import topological_sort

    from pipeline.stages.dvc_repo import open_repo

    lock_entries()  # DVC's own message would not tell what to do
    try:
        with open_repo() as repo, repo.lock:
            graph = repo.index.graph
    except DvcException as error:
        raise StageError(f"dvc.yaml cannot be read with this params.yaml: {error}") from error
    root = Path(repo.root_dir)
    stages: dict[str, DvcStage] = {}
    for stage in reversed(list(topological_sort(graph))):
        if stage.addressing == CODE or stage.is_data_source:
            continue
        recorded = stage.outs if is_artifacts(stage.addressing) else stage.deps
        paths = [Path(entry.fs_path) for entry in recorded]
        manifests = [path.relative_to(root) for path in paths if root / "manifests" in path.parents]
        upstream = sorted({other.addressing for other in graph.successors(stage)} - {CODE})
        stamps = {name: str(layout.stamp(name)) for name in upstream}
        stages[stage.addressing] = DvcStage(
            stage.addressing,
            inputs=(
                *map(str, manifests),
                *(stamp for name, stamp in stamps.items() if not is_artifacts(name)),
            ),
            after=tuple(stamp for name, stamp in stamps.items() if is_artifacts(name)),
        )
    return stages


def refresh_code() -> None:
    """Bring fingerprints/ up to date, if the source was edited since; in the main process only.

    Not while a training is at work: at its end DVC records the fingerprints as they are then.

    Raises:
        StageError: DVC cannot run the stage.
    """
    if "DVC_STAGE" in os.environ:
        return  # DVC has done so before it started this Snakemake
    from dvc.exceptions import DvcException

    from pipeline.stages.dvc_repo import open_repo

    lock_entries()  # as in load_stages
    logging.getLogger("dvc").setLevel(logging.WARNING)  # not a word at every start of Snakemake
    try:
        with open_repo() as repo:
            with repo.lock:
                [code] = repo.stage.collect(CODE)
                edited = code.changed()
            if edited and _is_training():
                text = "the code was edited, but a training is at work; fingerprints/ follow later"
                print(f"snakemake: {text}", file=sys.stderr)
            elif edited:
                repo.reproduce([CODE], single_item=True)
    except DvcException as error:
        raise StageError(f"dvc repro --single-item {CODE}: {error}") from error


def _is_training() -> bool:
    """Whether a stage holds its lock; see `training_run.only_run`."""
    for file in layout.CHECKPOINTS.glob(".*.lock"):
        try:
            with file.open("rb") as handle:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            continue  # it has just ended
        except OSError as error:
            # Without locks nothing is known; held, or another user's, it is at work.
            if isinstance(error, (BlockingIOError, PermissionError)):
                return True
    return False


def recorded_and_changed() -> tuple[dict[str, str], set[str]]:
    """`lock_entries`, and the names of the stages that `dvc repro` would run.

    Both of one moment, as far as DVC alone can tell.
    """
    from pipeline.stages.dvc_repo import open_repo

    changed = set()
    with open_repo() as repo, repo.lock:
        entries = lock_entries()
        for stage in repo.index.stages:
            if stage.is_data_source:
                continue  # shared artifacts, whose files Snakemake looks after
            changed |= stage.status().keys()
    return entries, changed


def lock_entries(expected: str | None = None) -> dict[str, str]:
    """Stage -> its entry of dvc.lock as text; those that never ran are missing.

    DVC does not replace dvc.lock, it empties and fills it, so that of a run beside this one is
    waited for while it is unreadable or lacks what must be there.

    Args:
        expected: Stage that DVC has just recorded.

    Raises:
        StageError: DVC never finished writing it: the disk was full, or it was killed.
    """
    file, damage, entries = Path("dvc.lock"), "", {}
    for attempt in range(_LOCK_READS):
        time.sleep(_LOCK_PAUSE_S * bool(attempt))
        try:
            content = (read_yaml(file) if file.exists() else None) or {}
            entries = {
                stage: json.dumps(entry, indent=1, sort_keys=True) + "\n"
                for stage, entry in content.get("stages", {}).items()
            }
            damage = ""
        except (YamlError, AttributeError) as error:
            damage = str(error)
        if not damage and expected in (None, *entries):
            break
    if damage:
        raise StageError(
            f"dvc.lock is damaged, as DVC leaves it when the disk is full or when it is killed "
            f"while it writes ({damage}). No result is lost: `git checkout dvc.lock` brings back "
            "the committed one, or delete it; what it lacks DVC then takes from its cache"
        )
    return entries


def write_stamp(stage: str) -> None:
    """Write the stamp of a stage that just ran.

    Raises:
        StageError: dvc.lock has no entry for it.
    """
    entry = lock_entries(expected=stage).get(stage)
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
    entries, changed = recorded_and_changed()
    missing: set[str] = set()
    for name, stage in stages.items():
        stamp = layout.stamp(name)
        entry = entries.get(name)
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
