"""What the stages that work on one scene share: command line, raw scene and provenance."""

import argparse
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline import layout
from pipeline.atomic import exclusive
from pipeline.config import Dataset, Labelled, Params, load_params
from pipeline.readers import READERS
from pipeline.readers.base import ColorSize, Frame, Scene
from pipeline.readers.checks import check_scene_name
from pipeline.stages.common import expand


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of a stage that works on one scene."""
    parser.add_argument("scene", metavar="SCENE", help="scene name")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="artifacts folder (default: the dataset's own)"
    )
    parser.add_argument(
        "--wait", action="store_true", help="wait for another run on the scene; default: stop"
    )


def runner(
    work: Callable[[Params, str, Path], str], stem: str = ""
) -> Callable[[argparse.Namespace], None]:
    """Command that does `work(params, scene, artifacts folder)` and prints the line it returns.

    Args:
        work: Makes some of the artifacts of one scene.
        stem: Stem of the only file that it makes, if it may run beside other stages; see
            `atomic.exclusive`.
    """

    def run(args: argparse.Namespace) -> None:
        params, scene = load_params(), check_scene_name(args.scene)
        out_dir = args.out or layout.artifacts_dir(params.dataset.name)
        with exclusive(layout.scene_dir(out_dir, scene), stem, args.wait):
            print(work(params, scene, out_dir))

    return run


def open_raw_scene(section: Dataset | Labelled, scene: str) -> Scene:
    """A scene of the dataset or of the labelled frames.

    The reasons of skipped frames name files below the raw folder: artifacts must not depend on
    where the data are.
    """
    raw_dir = expand(section.raw_dir)
    opened = READERS[section.reader].open_scene(raw_dir, scene, section.frame_stride)

    def load_frame(frame_id: int, color_size: ColorSize = "full") -> Frame:
        frame = opened.load_frame(frame_id, color_size)
        return replace(frame, reason=frame.reason.replace(f"{raw_dir}/", ""))

    return replace(opened, load_frame=load_frame)


def package_version() -> str:
    """Version of this package."""
    try:
        return importlib.metadata.version("rgbd-ssl-pipeline")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def provenance(
    scene: str, reader: str, inputs_sha256: str, settings: Mapping[str, Any]
) -> dict[str, str]:
    """Metadata of an artifact.

    Args:
        scene: Scene name.
        reader: Name of the reader of the raw data.
        inputs_sha256: Hash of what the artifact was made from: `FrameLog.inputs_sha256` of raw
            frames, `digest.hash_files` of other artifacts.
        settings: Exactly the params that decide the artifact's content. A param that does not
            must not stand here: it would change the file and so everything that depends on it.

    Returns:
        scene, reader, inputs_sha256, package_version, params_hash (of the settings) and each
        setting as text.
    """
    texts = {
        key: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        for key, value in settings.items()
    }
    content = json.dumps(texts, sort_keys=True)
    return {
        **texts,
        "scene": scene,
        "reader": reader,
        "inputs_sha256": inputs_sha256,
        "package_version": package_version(),
        "params_hash": hashlib.sha256(content.encode()).hexdigest()[:12],
    }
