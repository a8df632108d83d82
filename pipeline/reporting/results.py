"""Metrics of the finetuning runs -> table cells; a run that is missing stays visible."""

import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import layout
from pipeline.config import Params, Variant

#: Task -> (metric tabulated, unit as printed, column of the papers' tables that corresponds to it).
TASKS = {
    "depth": ("score", "-100 MSE, m²", "ScanNet depth"),
    "reconstruction": ("score", "-100 MSE, normalised RGB", "ScanNet recon"),
    "segmentation": ("miou", "mIoU, %", "ScanNet mIoU"),
}

#: Protocol -> (words, published block of paper 000's Table 1).
PROTOCOLS = {
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


#: What nobody has asked for, or what has not ended.
NOT_RUN = Run(None, "not run")


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
            row: One of `params.rows`, or any other name.
            part: "" for all tasks on all labels; a percentage of the labels, such as "20"; or a
                network, such as "pspnet".
        """
        if (row, part) not in self._runs:
            name = f"{row}-{part}" if part else row
            folders = {
                seed: layout.finetune_results(self.params.dataset.name, name, seed)
                for seed in self.params.seeds
            }
            asked = self._is_asked_for(row, part)
            self._runs[row, part] = {
                seed: read_run(folder / "metrics.json") if asked else NOT_RUN
                for seed, folder in folders.items()
            }
        return self._runs[row, part]

    def _is_asked_for(self, row: str, part: str) -> bool:
        fractions, networks = self.params.label_fractions, self.params.networks
        if part.isdigit():
            return row in fractions.rows and int(part) in fractions.percents
        if part:
            return row in networks.rows and part in networks.names
        return row in self.params.rows

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
        return gather(self.runs(row, part), protocol, task, which, metric or TASKS[task][0], scene)

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


def variant_label(variant: Variant) -> str:
    """Row label as the papers print it: "VIEW+GEO (lin)"; a rate of its own is added."""
    if not variant.losses:
        return "no pretraining"
    remarks = ["lin"] if variant.linear else []
    if variant.learning_rate is not None:
        remarks.append(f"lr {variant.learning_rate:g}")
    name = "+".join(loss.upper() for loss in variant.losses)
    return f"{name} ({', '.join(remarks)})" if remarks else name
