"""Names of the scenes and their split, from params.yaml and the raw data.

Apart from `common`, so that the code of the trainings does not include that of the readers.
"""

from pathlib import Path

from pipeline import layout
from pipeline.config import Params
from pipeline.readers import READERS
from pipeline.readers.base import ReaderError
from pipeline.readers.checks import check_scene_name
from pipeline.scenes.naming import training_rooms, validation_rooms
from pipeline.stages.common import StageError, expand, read_split

#: What Snakemake takes for wildcards; what sbatch's command line and the plugin's list of jobs do
#: not carry as it is.
_BRACES = frozenset("{}")
_SHELL_CHARACTERS = frozenset("$`\\\"',")


def _names(value: str | list[str], what: str) -> list[str]:
    names = value if isinstance(value, list) else _listed(expand(value), what)
    try:
        return sorted(check_scene_name(name) for name in names)
    except ReaderError as error:
        raise StageError(f"{what}: {error}") from error


def _listed(file: Path, what: str) -> list[str]:
    """Lines of a scene list."""
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise StageError(f"{what}: cannot read the scene list {file}: {error.strerror}") from error
    except ValueError as error:  # not UTF-8, or a path that none can have
        raise StageError(f"{what}: cannot read the scene list {file}: {error}") from error
    return [line.strip() for line in lines if line.strip()]


def check_plannable(scene: str, submitted: bool) -> str:
    """The name, if Snakemake brings it unchanged to a job.

    It takes braces for wildcards, and its Slurm plugin writes the name into `sbatch --wrap="..."`,
    which two shells read.

    Args:
        scene: Name of a scene.
        submitted: Whether jobs are submitted to a cluster.

    Raises:
        StageError: the name would be another one, or a shell would run a command in it.
    """
    refused = _BRACES | _SHELL_CHARACTERS if submitted else _BRACES
    if found := refused.intersection(scene):
        what = "submit" if submitted else "plan"
        raise StageError(
            f"scene {scene!r}: Snakemake cannot {what} jobs for a name with "
            f"{' '.join(sorted(found))}; rename its folder, or make its artifacts with "
            "`python -m pipeline build-artifacts`"
        )
    return scene


def scene_names(params: Params) -> list[str]:
    """All scenes of the dataset; those of embedded rooms are known before they are made.

    Raises:
        StageError: dataset.scenes names a scene that does not exist.
        ReaderError: the raw folder holds no scenes.
    """
    dataset, rooms = params.dataset, params.rooms
    raw_dir = expand(dataset.raw_dir)
    if rooms is not None:
        known = training_rooms(rooms.n_train)
        known += validation_rooms(rooms.n_train, rooms.n_validation)
    elif raw_dir.is_dir():
        known = READERS[dataset.reader].list_scenes(raw_dir)
    elif dataset.scenes != "all":
        known = []  # a clone with the artifacts or results but without the raw data
    elif layout.split(dataset.name).is_file():
        known = [scene for part in read_split(params).values() for scene in part]
    else:
        known = READERS[dataset.reader].list_scenes(raw_dir)  # says what should be there
    if dataset.scenes == "all":
        return sorted(known)
    names = _names(dataset.scenes, "dataset.scenes")
    if known and (unknown := sorted(set(names) - set(known))):
        raise StageError(
            f"dataset.scenes names {unknown[:5]}, but {raw_dir} has {len(known)} scenes: "
            f"{', '.join(sorted(known)[:5])}, ..."
        )
    return names


def resolve_split(params: Params) -> dict[str, list[str]]:
    """Training and validation scenes of the dataset.

    Raises:
        StageError: a validation scene is not a scene of the dataset.
    """
    scenes = scene_names(params)
    validation = _names(params.dataset.validation_scenes, "dataset.validation_scenes")
    if unknown := sorted(set(validation) - set(scenes)):
        raise StageError(
            f"dataset.validation_scenes names {unknown[:5]}, which are not among the "
            f"{len(scenes)} scenes of the dataset; correct the list, or dataset.scenes"
        )
    return {
        "train": [scene for scene in scenes if scene not in validation],
        "validation": validation,
    }
