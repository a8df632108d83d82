"""`share-artifacts`: from now on `dvc push` and `dvc pull` carry a dataset's artifacts.

DVC only records and copies them, one entry a scene: Snakemake goes on making them. Nothing depends
on the entries, so a clone can do without them.
"""

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

from pipeline import layout
from pipeline.atomic import write_text
from pipeline.config import load_params
from pipeline.digest import hash_files
from pipeline.stages.common import StageError
from pipeline.yaml_file import read_yaml


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments: the dataset is that of params.yaml."""


def manifests_hash(dataset: str) -> str:
    """Hash of the manifests of all artifact kinds."""
    return hash_files(*(layout.manifest(dataset, kind) for kind in layout.ARTIFACT_KINDS))


def read_shared(dataset: str) -> dict[str, Any]:
    """Content of the dataset's artifacts.dvc; empty if its artifacts are not shared."""
    file = layout.shared_artifacts(dataset)
    return (read_yaml(file) or {}) if file.is_file() else {}


def run(args: argparse.Namespace) -> None:
    """Record the artifacts as they are in manifests/DATASET/artifacts.dvc and in DVC's cache.

    Raises:
        StageError: there are no manifests yet, or DVC fails.
    """
    dataset = load_params().dataset.name
    file, manifest = layout.shared_artifacts(dataset), layout.manifest(dataset, "frames")
    if not manifest.is_file():
        raise StageError(f"{manifest}: missing; `snakemake --cores 2 all_artifacts` makes it")
    scenes = sorted({Path(path).parent.as_posix() for path in json.loads(manifest.read_text())})
    known = {out["path"]: out for out in read_shared(dataset).get("outs", [])}
    content = {
        "desc": "artifacts of a dataset, written by `python -m pipeline share-artifacts`",
        "wdir": Path(*[".."] * len(file.parent.parts)).as_posix(),
        "outs": [known.get(scene, {"path": scene, "hash": "md5"}) for scene in scenes],
    }
    write_text(file, yaml.safe_dump(content, sort_keys=False))
    done = subprocess.run(["dvc", "--wait-for-lock", "commit", "--force", str(file)])
    if done.returncode:
        raise StageError(f"{file}: dvc commit failed (exit status {done.returncode}), see above")
    # Last, because it says that the entries are those of the manifests.
    content = read_yaml(file) | {"meta": {"manifests": manifests_hash(dataset)}}
    write_text(file, yaml.safe_dump(content, sort_keys=False))
    print(f"{file}: {len(scenes)} scenes; commit it, then `dvc push`")
