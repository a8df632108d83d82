"""`write-manifest`: content manifest of one artifact kind, for DVC to depend on."""

import argparse

from pipeline import layout
from pipeline.atomic import write_json
from pipeline.config import Params, load_params
from pipeline.digest import hash_file
from pipeline.schemas import open_artifact
from pipeline.stages.common import StageError
from pipeline.stages.scene_lists import resolve_split, scene_names

#: What has a manifest: the artifacts, and the scene lists that training depends on.
KINDS = (*layout.ARTIFACT_KINDS, "split")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `write-manifest`."""
    parser.add_argument("kind", metavar="KIND", choices=KINDS, help="artifact kind, or split")


def run(args: argparse.Namespace) -> None:
    """Write the manifest of one kind over all scenes."""
    params = load_params()
    if args.kind == "split":
        write_json(layout.split(params.dataset.name), resolve_split(params))
    else:
        print(write_manifest(params, args.kind))


def write_manifest(params: Params, kind: str) -> str:
    """Write path -> sha256 of one artifact kind over all scenes.

    Returns:
        One line that says what happened.

    Raises:
        StageError: a scene lacks the artifact.
        ArtifactError: it is cut off or of another schema; what is inside is not looked at.
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
    for path in paths:
        open_artifact(path, kind)
    content = {path.as_posix(): hash_file(path) for path in paths}
    target = layout.manifest(dataset, kind)
    write_json(target, content)
    return f"{target}: {len(content)} files"
