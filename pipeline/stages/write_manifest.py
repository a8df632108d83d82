"""`write-manifest`: content manifest of one artifact kind, for DVC to depend on."""

import argparse
import hashlib
import json
from pathlib import Path

from pipeline import layout
from pipeline.atomic import write_json
from pipeline.config import Params, load_params
from pipeline.stages.common import StageError, scene_names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `write-manifest`."""
    parser.add_argument("kind", metavar="KIND", choices=layout.ARTIFACT_KINDS, help="artifact kind")


def run(args: argparse.Namespace) -> None:
    """Write the manifest of one kind over all scenes."""
    print(write_manifest(load_params(), args.kind))


def write_manifest(params: Params, kind: str) -> str:
    """Write path -> sha256 of one artifact kind over all scenes.

    A manifest that would not change is left untouched, so that its time does not either.

    Returns:
        One line that says what happened.

    Raises:
        StageError: a scene lacks the artifact.
    """
    dataset = params.dataset.name
    artifacts_dir = layout.artifacts_dir(dataset)
    paths = [layout.artifact(artifacts_dir, scene, kind) for scene in scene_names(params)]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise StageError(
            f"{len(missing)} of {len(paths)} scenes have no {kind}, first: {missing[0]}; "
            "`snakemake --cores 2 all_artifacts` makes them"
        )
    content = {path.as_posix(): _sha256(path) for path in paths}
    target = layout.manifest(dataset, kind)
    changed = _write_if_changed(target, content)
    return f"{target}: {len(content)} files, {'written' if changed else 'unchanged'}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_if_changed(path: Path, content: dict[str, str]) -> bool:
    """Write JSON unless the file holds it already; whether it was written."""
    try:
        if json.loads(path.read_text(encoding="utf-8")) == content:
            return False
    except (OSError, ValueError):
        pass  # missing or damaged: write it
    write_json(path, content)
    return True
