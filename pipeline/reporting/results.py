"""Metrics of the finetuning runs -> table cells; a run that is missing stays visible."""

import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import layout
from pipeline.config import Params, Protocol
from pipeline.config.pretraining import THEN

#: Task -> (metric tabulated, unit as printed, column of the papers' tables that corresponds to it).
TASKS = {
    "depth": ("score", "-100 MSE, m²", "ScanNet depth"),
    "reconstruction": ("score", "-100 MSE, normalised RGB", "ScanNet recon"),
    "segmentation": ("miou", "mIoU, %", "ScanNet mIoU"),
}

#: Protocol -> (words, published block of paper 000's Table 1).
PROTOCOLS: dict[Protocol, tuple[str, str]] = {
    "frozen": ("frozen", "000.t1.frozen"),
    "half_frozen": ("half-frozen", "000.t1.half"),
    "full": ("full", "000.t1.full"),
}


@dataclass(frozen=True)
class Cell:
    """One metric of one table cell over the seeds.

    Attributes:
        values: seed -> finite value.
        missing: seed -> why there is no value.
    """

    values: dict[int, float]
    missing: dict[int, str]

    @property
    def mean(self) -> float | None:
        """Mean over the seeds that have a value."""
        return statistics.fmean(self.values.values()) if self.values else None

    @property
    def std(self) -> float | None:
        """Sample standard deviation (n - 1); None for fewer than two values."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Run:
    """The metrics of one finetuning, or why there are none."""

    metrics: Mapping[str, Any] | None
    problem: str = ""


#: What nobody has asked for, or nobody has started.
NOT_RUN = Run(None, "not run")
#: What failed, was stopped, or is at work: it has left its scratch folder.
NOT_FINISHED = Run(None, "not finished")
#: Instead of a row: predicts one constant for all pixels.
MEAN_PREDICTOR = "mean_predictor"


def read_run(file: Path) -> Run:
    """Read metrics.json; a missing or damaged file is a result, not an exception."""
    try:
        return Run(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return NOT_RUN
    except (OSError, ValueError) as error:
        return Run(None, f"unreadable metrics.json: {error}")


#: Instead of a scene's name: pooled over all validation frames.
ALL_SCENES = "all"
#: Of a segmentation that could not be done; metrics.json adds in which frames.
NO_LABELS = "no labels"


def cell_value(
    run: Run, protocol: str, task: str, which: str, metric: str, scene: str = ALL_SCENES
) -> float | str:
    """Value of one metric of one run, or why there is none.

    Args:
        run: One finetuning.
        protocol: Key of PROTOCOLS.
        task: Key of TASKS.
        which: "best" (best validation during training, as paper 000 reports) or "last".
        metric: Key of the task's metrics.
        scene: Over whose validation frames.
    """
    if run.metrics is None:
        return run.problem
    if why := run.metrics.get("skipped", {}).get(task):
        return NO_LABELS if why.startswith(NO_LABELS) else str(why)
    scores = run.metrics.get("cells", {}).get(f"{protocol}/{task}", {}).get(which, {})
    if scene != ALL_SCENES:
        scores = scores.get("scenes", {}).get(scene, {})
        if not scores and task == "segmentation":
            return NO_LABELS
    if metric not in scores:
        return "not in metrics.json"
    value = scores[metric]
    return float(value) if value is not None and math.isfinite(value) else f"diverged: {value}"


def gather(
    runs: Mapping[int, Run],
    protocol: str,
    task: str,
    which: str,
    metric: str,
    scene: str = ALL_SCENES,
) -> Cell:
    """Cell of one variant from its runs, seed -> run; see `cell_value`."""
    found = {
        seed: cell_value(run, protocol, task, which, metric, scene) for seed, run in runs.items()
    }
    return Cell(
        values={seed: value for seed, value in found.items() if isinstance(value, float)},
        missing={seed: value for seed, value in found.items() if isinstance(value, str)},
    )


def is_asked_for(params: Params, row: str, part: str) -> bool:
    """Whether the params ask for this finetuning; see `Results.runs`."""
    fractions, networks = params.label_fractions, params.networks
    if part.isdigit():
        return row in fractions.rows and int(part) in fractions.percents
    if part:
        return row in networks.rows and part in networks.names
    return row in params.all_rows


def has_cell(params: Params, row: str, protocol: str, task: str) -> bool:
    """Whether the params ask for this cell, if they ask for the row."""
    return (protocol, task) in params.cells(trained_as(params, row))


def trained_as(params: Params, row: str) -> str:
    """The row that is trained, where another one would be the very same second stage.

    So paper 001's Table 9, which names the k of its sets, shows `view_geo_then_set` for its k.

    Returns:
        One of `params.all_rows`; `row` itself, if it is one or has no equal among them.
    """
    start, _, variant = row.rpartition(THEN)
    if row in params.all_rows or not start or variant not in params.variants:
        return row

    def definition(name: str) -> tuple[object, ...]:
        own, variant = params.for_row(name), params.variant(name)
        losses = (sorted(variant.losses), variant.linear, variant.sets, variant.depth)
        return own.pretraining, own.model, *losses

    others = [other for other in params.all_rows if other.rpartition(THEN)[0] == start]
    return next((other for other in others if definition(other) == definition(row)), row)


def _scratch_folders(params: Params, row: str, part: str, seed: int) -> list[Path]:
    """Where the unfinished trainings of a row keep what they have done; see `training_run.Item`."""
    start, _, variant = row.rpartition(THEN)
    stage = "finetune_segmentation" if row in params.segmentation_rows else "finetune"
    if part:
        stage = "finetune_fraction" if part.isdigit() else "finetune_network"
    finetuning = (stage, params.dataset.name, f"{row}-{part}" if part else row)
    pretraining = ("pretrain", params.pretrained_on, variant)
    if start:
        pretraining = ("continue_pretraining", params.pretrained_on, f"{start}-{variant}")
    return [layout.checkpoint_dir(*item, seed) for item in (finetuning, pretraining)]


class Results:
    """The finetunings that the params ask for, each read once.

    A row, label fraction or network that they do not ask for counts as not run, even if an earlier
    run with other params has left its results.
    """

    def __init__(self, params: Params) -> None:
        self.params = params
        self._runs: dict[tuple[str, str], dict[int, Run]] = {}

    def runs(self, row: str, part: str = "") -> dict[int, Run]:
        """Seed -> run.

        Args:
            row: One of `params.all_rows`, or any other name (see `trained_as`); MEAN_PREDICTOR has
                one run.
            part: "" for all tasks on all labels; a percentage of the labels, such as "20"; or a
                network, such as "pspnet".
        """
        row = trained_as(self.params, row)
        if (row, part) not in self._runs:
            if row == MEAN_PREDICTOR:
                self._runs[row, part] = {self.params.seeds[0]: self._mean_predictor()}
            else:
                self._runs[row, part] = {
                    seed: self._run(row, part, seed) for seed in self.params.seeds
                }
        return self._runs[row, part]

    def _run(self, row: str, part: str, seed: int) -> Run:
        if not is_asked_for(self.params, row, part):
            return NOT_RUN
        name = f"{row}-{part}" if part else row
        run = read_run(layout.finetune_metrics(self.params.dataset.name, name, seed))
        scratch = _scratch_folders(self.params, row, part, seed)
        return NOT_FINISHED if run is NOT_RUN and any(map(Path.exists, scratch)) else run

    def _mean_predictor(self) -> Run:
        """Its scores in the cells of every protocol: there is nothing to train."""
        run = read_run(layout.mean_predictor(self.params.dataset.name))
        if run.metrics is None:
            return run
        cells = {
            f"{protocol}/{task}": {"best": scores, "last": scores}
            for protocol in PROTOCOLS
            for task, scores in run.metrics["tasks"].items()
        }
        return Run({"cells": cells, "skipped": run.metrics["skipped"]})

    def cell(
        self,
        row: str,
        protocol: str,
        task: str,
        *,
        part: str = "",
        which: str = "best",
        metric: str | None = None,
        scene: str = ALL_SCENES,
    ) -> Cell:
        """One metric of a row over the seeds.

        Args:
            row: See `runs`.
            protocol: Key of PROTOCOLS.
            task: Key of TASKS.
            part: See `runs`.
            which: "best" or "last".
            metric: Key of the task's metrics; None: the tabulated one.
            scene: Over whose validation frames.
        """
        runs = self.runs(row, part)
        if not part and not has_cell(self.params, row, protocol, task):
            runs = dict.fromkeys(runs, NOT_RUN)
        return gather(runs, protocol, task, which, metric or TASKS[task][0], scene)

    def scenes(self, row: str, protocol: str, task: str, *, part: str = "") -> list[str]:
        """Validation scenes that any seed has values of, sorted."""
        best = [
            (run.metrics or {}).get("cells", {}).get(f"{protocol}/{task}", {}).get("best", {})
            for run in self.runs(row, part).values()
        ]
        return sorted({scene for scores in best for scene in scores.get("scenes", {})})


def scalar_metrics(runs: Mapping[int, Run], protocol: str, task: str, which: str) -> list[str]:
    """Metrics of a cell that any run has, the tabulated one first; nested ones are left out."""
    names = [TASKS[task][0]]
    for run in runs.values():
        cell = (run.metrics or {}).get("cells", {}).get(f"{protocol}/{task}", {}).get(which, {})
        names += [
            name
            for name, value in sorted(cell.items())
            if isinstance(value, int | float) and name not in names
        ]
    return names
