"""What Snakemake cannot know in a clone: whether files that Git and DVC brought are up to date.

Neither keeps times, and Snakemake's record of what made a file stays where it was made. Both
functions are for its main process, before it plans.
"""

import hashlib
import json
import os
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from pipeline import layout
from pipeline.config import Params, ParamsError
from pipeline.digest import hash_file, hash_files
from pipeline.schemas import open_artifact, stored_metadata
from pipeline.stages.artifact_check import READ_THREADS
from pipeline.stages.common import StageError, expand
from pipeline.stages.dvc_bridge import lock_entries
from pipeline.stages.share_artifacts import manifests_hash, read_shared

#: What `oversegment` makes from the other artifacts of a scene; the rest comes from the raw data.
DERIVED = ("segments", "sets")
#: Rules that read the raw data.
FROM_RAW = ("extract_frames", "find_overlaps")


def settle_times(dataset: str) -> None:
    """Give shared artifacts that are what the manifests say an order of times that says so.

    A scene out of order is compared with the manifests by content. At the first that differs,
    nothing is touched: artifacts are being made here, and Snakemake has the records.
    """
    shared = layout.shared_artifacts(dataset)
    manifests = {kind: layout.manifest(dataset, kind) for kind in layout.ARTIFACT_KINDS}
    if not shared.is_file() or not all(file.is_file() for file in manifests.values()):
        return
    expected = {kind: json.loads(file.read_text()) for kind, file in manifests.items()}
    recorded_at = {kind: _time(file) for kind, file in manifests.items()}
    late: set[Path] = set()
    unsure: dict[Path, dict[str, Path]] = {}
    for path in map(Path, expected["frames"]):
        files = {kind: path.with_stem(kind) for kind in manifests}
        mesh = layout.mesh(path.parents[1], path.parent.name)
        if not all(map(Path.is_file, (mesh, *files.values()))):
            continue  # not pulled
        times = {kind: _time(file) for kind, file in files.items()}
        made_from = max(_time(mesh), *(times[kind] for kind in times if kind not in DERIVED))
        late_here = {files[kind] for kind in DERIVED if times[kind] < made_from}
        if late_here or any(times[kind] > recorded_at[kind] for kind in times):
            unsure[mesh] = files
            late |= {*late_here, *manifests.values()}
    are_as_recorded = partial(_is_as_recorded, expected)
    with ThreadPoolExecutor(READ_THREADS) as readers:
        if not all(readers.map(are_as_recorded, unsure.keys(), unsure.values())):
            readers.shutdown(cancel_futures=True)
            return
    meta = read_shared(dataset).get("meta", {})
    is_current = meta.get("manifests") == manifests_hash(dataset)
    if is_current and (late or _time(shared) < max(recorded_at.values())):
        late.add(shared)
    now = time.time_ns()
    for file in late:
        os.utime(file, ns=(now, now))


def _time(file: Path) -> int:
    return file.stat().st_mtime_ns


def _is_as_recorded(
    expected: Mapping[str, Mapping[str, str]], mesh: Path, files: Mapping[str, Path]
) -> bool:
    """Whether a scene's tables are those of the manifests, and the mesh that of its voxels."""
    if any(expected[kind].get(file.as_posix()) != hash_file(file) for kind, file in files.items()):
        return False
    voxels = stored_metadata(open_artifact(files["voxels"], "voxels"))
    return voxels.get("inputs_sha256") == hash_files(mesh)


def outdated_rules(
    params: Params, scenes: Callable[[], list[str]], settings: Mapping[str, Mapping[str, Any]]
) -> set[str]:
    """Rules to force, because their outputs came from elsewhere and were made with other params.

    What they were made with stands in dvc.lock. Snakemake's own record, where there is one, is
    finer: a rule counts only until the manifests have been written here.

    Args:
        params: Of this run.
        scenes: Lists all scenes of the dataset as of now.
        settings: Rule -> dotted key -> value of the params that it depends on.

    Raises:
        StageError: they are made from raw data that are not here.
    """
    dataset = params.dataset.name
    manifests = [layout.manifest(dataset, kind) for kind in layout.ARTIFACT_KINDS]
    split = layout.split(dataset)
    entry = lock_entries().get(f"artifacts@{dataset}")
    if entry is None or not any(file.is_file() and _is_unrecorded(file) for file in manifests):
        return set()
    recorded = json.loads(entry)
    try:
        of_params = recorded["params"]["params.yaml"]
        before = Params.model_validate(params.model_dump(mode="json") | of_params)
    except (KeyError, ParamsError, ValueError):
        return set(settings)  # of another version of params.yaml
    outdated = {rule for rule, used in settings.items() if before.values(*used) != used}
    for dep in recorded.get("deps", []):
        rule = Path(dep["path"]).stem
        if rule in settings and _md5(Path(dep["path"])) != dep["md5"]:
            outdated.add(rule)  # its fingerprint
    _check_raw_data(params, outdated)
    if split.is_file():
        known = {scene for part in json.loads(split.read_text()).values() for scene in part}
        if known != set(scenes()):
            outdated |= {"write_manifest", "write_split"}
    return outdated


def _check_raw_data(params: Params, outdated: set[str]) -> None:
    """StageError if artifacts are to be made from raw data that are not here."""
    raw_dir = expand(params.dataset.raw_dir)
    if params.rooms is None and outdated.intersection(FROM_RAW) and not raw_dir.is_dir():
        dataset = params.dataset.name
        raise StageError(
            f"manifests/{dataset} came from elsewhere, made with other code or params than now, "
            f"and {raw_dir} is not here to make the artifacts again. Undo the edit, or link the "
            "raw data there; or, if the edit does not change the artifacts, "
            f"`dvc commit --force artifacts@{dataset}`"
        )


def _is_unrecorded(file: Path) -> bool:
    """Whether Snakemake's record of what made the file is missing."""
    name = urlsafe_b64encode(str(file).encode()).decode()
    return not Path(".snakemake/metadata", name).exists()


def _md5(file: Path) -> str:
    """As DVC hashes a file."""
    return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
