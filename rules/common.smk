# Params, scene names and input functions; no rules.
import os
from functools import cache
from pathlib import Path

from pipeline import layout
from pipeline.atomic import write_text
from pipeline.config import PARAMS_VARIABLE, load_params
from pipeline.digest import hash_file
from pipeline.readers import READERS
from pipeline.stages import snakemake_lock
from pipeline.stages.clone import outdated_rules, settle_times
from pipeline.stages.common import expand, readable_errors
from pipeline.stages.demand import demand
from pipeline.stages.dvc_bridge import load_stages, reconcile, refresh_code
from pipeline.stages.scene_lists import check_plannable, scene_names


def freeze_params():
    """Copy params.yaml aside and name the copy to every job: a run uses what it started with."""
    copy = Path("logs/params") / f"{load_params('params.yaml').section_hash()}.yaml"
    write_text(copy, Path("params.yaml").read_text())
    os.environ[PARAMS_VARIABLE] = str(copy)


with readable_errors():
    IS_ALONE = workflow.is_main_process and snakemake_lock.enter()
    if workflow.is_main_process:
        freeze_params()
    PARAMS = load_params()
    if IS_ALONE:
        settle_times(PARAMS.dataset.name)
os.environ.update(demand(PARAMS))  # for the expressions in slurm/profile.yaml
DATASET = PARAMS.dataset.name
RAW = expand(PARAMS.dataset.raw_dir)
ARTIFACTS = layout.artifacts_dir(DATASET)
MANIFESTS = [str(layout.manifest(DATASET, kind)) for kind in layout.ARTIFACT_KINDS]
MANIFESTS.append(str(layout.split(DATASET)))
# With it, the artifacts are shared: rules/share.smk.
SHARED = list(filter(os.path.exists, [str(layout.shared_artifacts(DATASET))]))
SPLITS = [str(RAW / "splits" / f"scannetv2_{part}.txt") for part in ("train", "val")]


wildcard_constraints:
    scene="[^/]+",
    kind="|".join(layout.ARTIFACT_KINDS),
    item="[^/]+",


# Looked up when the first job asks, because Snakemake starts anew for every Slurm job.
scenes = cache(readable_errors()(lambda: scene_names(PARAMS)))


@cache
@readable_errors()
def fingerprints():
    """Stage -> hash of its code; the first to ask, while planning, brings them up to date."""
    if IS_ALONE:
        refresh_code()
    return cache(lambda stage: hash_file(layout.fingerprint(stage)))


def code_of(stage):
    """Params function: a rule runs again when the code of its stage was edited."""
    return lambda wildcards: fingerprints()(stage)


@cache
@readable_errors()
def stages():
    """DVC's stages; the first to ask, while planning, brings their stamps in line with DVC.

    Nobody asks under `dvc repro`: its run makes only artifacts, and DVC has locked its files.
    """
    fingerprints()
    loaded = load_stages()
    # The stamps of a run that goes on are left to it: its params may be others.
    if IS_ALONE:
        reconcile(loaded)
    return loaded


def artifact(kind, scene="{scene}"):
    return str(layout.artifact(ARTIFACTS, scene, kind))


@cache
@readable_errors()
def scene_files(section, scene):
    """Raw files of `dataset` or `labelled`: the file system is asked once for all rules."""
    check_plannable(scene, submitted=not workflow.local_exec)
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


def lost_artifacts(wildcards):
    """Artifacts to make again: Snakemake alone misses no file that only a manifest is made from."""
    if PARAMS.rooms is None and not RAW.is_dir():
        return []
    kinds = layout.ARTIFACT_KINDS
    listed = [kind for kind in kinds if layout.manifest(DATASET, kind).exists()]
    files = [artifact(kind, scene) for scene in scenes() for kind in listed]
    return [file for file in files if not os.path.exists(file)]


def lost_artifacts_in_use(wildcards):
    """The same, but none in a clone with others' results, where there is nothing to train."""
    stamps = stamps_of("tables", "artifacts")(wildcards)
    in_use = ARTIFACTS.is_dir() or not all(map(os.path.exists, stamps))
    return lost_artifacts(wildcards) if in_use else []


@readable_errors()
def nothing_outdated(wildcards):
    """No input: forces the rules whose outputs came from elsewhere and are out of date."""
    if workflow.is_main_process:
        fingerprints()
        settings = {
            each.name: getattr(each.params, "settings", {}) for each in workflow.rules
        }
        outdated = outdated_rules(PARAMS, scenes, settings)
        workflow.dag.forcerules.update(map(workflow.get_rule, outdated))
    if workflow.dryrun:
        snakemake_lock.leave()
    return []
