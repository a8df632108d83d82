"""Files and folders that params.yaml names beside the raw scenes themselves."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.config import Params
from pipeline.stages.common import expand


def missing_inputs(params: Params) -> Iterator[str]:
    """What these params name and nobody has put there, each with its key.

    The lists of scenes, the folder of labelled frames, and the checkpoints that rows start from.
    Embedded rooms make theirs.
    """
    if params.rooms is None:
        for key in ("scenes", "validation_scenes"):
            named = getattr(params.dataset, key)
            if isinstance(named, str) and named != "all" and not expand(named).is_file():
                yield (
                    f"dataset.{key}: {named} does not exist; a list of scenes, one a line "
                    "(docs/datasets.md says where a dataset's own lists are from)"
                )
        labelled = params.labelled.raw_dir
        if not expand(labelled).is_dir():
            yield f"labelled.raw_dir: {labelled} does not exist"
    starts = {row: params.for_row(row).model for row in params.first_stage}
    rows_of: dict[str, list[str]] = {}
    for row, model in starts.items():
        if model.init == "checkpoint" and model.init_checkpoint is not None:
            rows_of.setdefault(model.init_checkpoint, []).append(row)
    for file, rows in rows_of.items():
        if not Path(file).is_file():
            yield f"init_checkpoint: {file} does not exist; it is the start of {', '.join(rows)}"
