"""Every path of the pipeline as a function: no path string is written twice.

All paths are relative to the repository root, which is the working directory of every stage.
`dataset` is `params.dataset.name`: data, models and results are keyed by it, so that changing
the preset never overwrites another dataset's work.
"""

from pathlib import Path

#: One Parquet file of each kind per scene (schemas.py holds the columns).
ARTIFACT_KINDS = (
    "frames",
    "voxels",
    "correspondences",
    "segments",
    "sets",
    "overlaps",
    "labelled_frames",
)

#: Scratch of the trainings; their locks too.
CHECKPOINTS = Path("checkpoints")


def scene_dir(artifacts_dir: Path, scene: str) -> Path:
    """Folder of one scene's artifacts below any artifacts folder."""
    return artifacts_dir / scene


def artifact(artifacts_dir: Path, scene: str, kind: str) -> Path:
    """Parquet file of one artifact kind of one scene."""
    if kind not in ARTIFACT_KINDS:
        raise KeyError(f"no artifact kind {kind!r}; known: {', '.join(ARTIFACT_KINDS)}")
    return scene_dir(artifacts_dir, scene) / f"{kind}.parquet"


def mesh(artifacts_dir: Path, scene: str) -> Path:
    """Mesh the segments refer to: fused here, or a copy of the dataset's own."""
    return scene_dir(artifacts_dir, scene) / "mesh.ply"


def artifacts_dir(dataset: str) -> Path:
    """Folder of all scenes' artifacts of a dataset."""
    return Path("data/artifacts") / dataset


def manifest(dataset: str, kind: str) -> Path:
    """Content manifest (sorted path -> sha256) of one artifact kind."""
    return Path("manifests") / dataset / f"{kind}.json"


def split(dataset: str) -> Path:
    """Resolved scene lists: {"train": [...], "validation": [...]}; a manifest like the others."""
    return Path("manifests") / dataset / "split.json"


def shared_artifacts(dataset: str) -> Path:
    """DVC's record of the artifacts, one entry a scene; it exists where they are shared."""
    return Path("manifests") / dataset / "artifacts.dvc"


def pretrained(dataset: str, variant: str, seed: int) -> Path:
    """Folder with `model.safetensors` and `metadata.json` of one pretraining."""
    return Path("models") / dataset / "pretrained" / f"{variant}-s{seed}"


def finetuned(dataset: str, variant: str, seed: int) -> Path:
    """Folder with the finetuned weights of one (pretraining, seed)."""
    return Path("models") / dataset / "finetuned" / f"{variant}-s{seed}"


def finetune_results(dataset: str, variant: str, seed: int) -> Path:
    """Folder with `metrics.json` and `pictures.npz` of one (pretraining, seed)."""
    return finetune_results_dir(dataset) / f"{variant}-s{seed}"


def finetune_metrics(dataset: str, variant: str, seed: int) -> Path:
    """Scores of one (pretraining, seed); `variant` may end in a label fraction or a network."""
    return finetune_results(dataset, variant, seed) / "metrics.json"


def mean_predictor(dataset: str) -> Path:
    """Scores of predicting the training frames' mean."""
    return Path("results") / dataset / "mean_predictor.json"


def finetune_results_dir(dataset: str) -> Path:
    """Folder of all finetuning results of a dataset."""
    return Path("results") / dataset / "finetune"


def tables_dir(dataset: str) -> Path:
    """Folder of the result tables and figures of a dataset."""
    return Path("results") / "tables" / dataset


def scores(dataset: str, variant: str) -> Path:
    """What `dvc metrics` shows of a row of the tables."""
    return tables_dir(dataset) / "metrics" / f"{variant}.json"


def curve(dataset: str, group: str, name: str) -> Path:
    """What `dvc plots` draws: one line a row of the group, `rows` or `segmentation_rows`."""
    return tables_dir(dataset) / "curves" / group / f"{name}.json"


def inspection_dir(scene: str) -> Path:
    """Folder of the pictures that `inspect` draws, unless told otherwise."""
    return Path("results/inspect") / scene


def checkpoint_dir(stage: str, dataset: str, variant: str, seed: int) -> Path:
    """Scratch folder of an unfinished training run; removed when it ends."""
    return CHECKPOINTS / dataset / stage / f"{variant}-s{seed}"


#: The fingerprint, among a run's checkpoints, of the code that made them.
CODE_OF_CHECKPOINTS = "code.json"


def live_metrics(stage_name: str) -> Path:
    """Folder of the metrics of a training while it runs, a log like those of the rules."""
    return Path("logs/live") / stage_name


def stage_name(stage: str, dataset: str, variant: str, seed: int) -> str:
    """DVC's name of one training: `pretrain@rooms-view-0`."""
    return f"{stage}@{dataset}-{variant}-{seed}"


def stamp(stage: str) -> Path:
    """Snakemake's witness that a DVC stage is up to date: the stage's entry of dvc.lock."""
    return Path(".stamps") / f"{stage}.json"


def fingerprint(stage: str) -> Path:
    """Hashes of the code of a module of pipeline.stages."""
    return Path("fingerprints") / f"{stage}.json"
