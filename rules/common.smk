# Params, scene names and input functions; no rules.
import os
from functools import cache
from pathlib import Path

from pipeline import layout
from pipeline.atomic import write_text
from pipeline.config import PARAMS_VARIABLE, load_params
from pipeline.readers import READERS
from pipeline.stages.common import expand, scene_names
from pipeline.stages.dvc_bridge import load_stages, reconcile


def freeze_params():
    """Copy params.yaml aside and name the copy to every job: a run uses what it started with."""
    copy = Path("logs/params") / f"{load_params('params.yaml').section_hash()}.yaml"
    write_text(copy, Path("params.yaml").read_text())
    os.environ[PARAMS_VARIABLE] = str(copy)


if workflow.is_main_process:
    freeze_params()

PARAMS = load_params()
DATASET = PARAMS.dataset.name
RAW = expand(PARAMS.dataset.raw_dir)
ARTIFACTS = layout.artifacts_dir(DATASET)
MANIFESTS = [str(layout.manifest(DATASET, kind)) for kind in layout.ARTIFACT_KINDS]
MANIFESTS.append(str(layout.split(DATASET)))
SPLITS = [str(RAW / "splits" / f"scannetv2_{part}.txt") for part in ("train", "val")]


wildcard_constraints:
    scene="[^/]+",
    kind="|".join(layout.ARTIFACT_KINDS),
    item="[^/]+",


# Looked up when the first job asks, because Snakemake starts anew for every Slurm job.
scenes = cache(lambda: scene_names(PARAMS))


@cache
def stages():
    """DVC's stages; the first to ask, while planning, brings their stamps in line with DVC.

    Nobody asks under `dvc repro`: its run makes only artifacts, and DVC has locked its files.
    """
    loaded = load_stages()
    if workflow.is_main_process:
        reconcile(loaded)
    return loaded


def artifact(kind, scene="{scene}"):
    return str(layout.artifact(ARTIFACTS, scene, kind))


@cache
def scene_files(section, scene):
    """Raw files of `dataset` or `labelled`: the file system is asked once for all rules."""
    source = getattr(PARAMS, section)
    files = READERS[source.reader].scene_files(expand(source.raw_dir), scene)
    return [str(file) for file in files]


def raw_files(wildcards):
    return scene_files("dataset", wildcards.scene)


def labelled_files(wildcards):
    """Of a real dataset, what exists: a scene without labelled frames is none to wait for."""
    files = scene_files("labelled", wildcards.scene)
    return files if PARAMS.rooms is not None else list(filter(os.path.exists, files))


def split_files():
    """Scene lists that params.yaml names as files."""
    lists = (PARAMS.dataset.scenes, PARAMS.dataset.validation_scenes)
    return [
        expand(names) for names in lists if isinstance(names, str) and names != "all"
    ]


def stage_inputs(rule):
    """Input function of a DVC stage's rule: the manifests and stamps its stage waits for."""

    def inputs(wildcards):
        stage = stages()[f"{rule}@{wildcards.item}"]
        return [*stage.inputs, *(ancient(stamp) for stamp in stage.after)]

    return inputs


def stamps_of(*rules):
    """Input function: the stamps of all stages that these rules run."""

    def stamps(wildcards):
        names = [name for name, stage in stages().items() if stage.rule in rules]
        return [str(layout.stamp(name)) for name in names]

    return stamps
