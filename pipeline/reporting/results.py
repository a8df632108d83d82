"""Metrics of the finetuning runs -> table cells; a run that is missing stays visible."""

import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import Variant

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
    """The metrics of one (variant, seed), or why there are none."""

    metrics: Mapping[str, Any] | None
    problem: str = ""


def read_run(file: Path) -> Run:
    """Read metrics.json; a missing or damaged file is a result, not an exception."""
    try:
        return Run(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Run(None, "not run")
    except (OSError, ValueError) as error:
        return Run(None, f"unreadable metrics.json: {error}")


#: Instead of a scene's name: pooled over all validation frames.
ALL_SCENES = "all"


def cell_value(
    run: Run, protocol: str, task: str, which: str, metric: str, scene: str = ALL_SCENES
) -> float | str:
    """Value of one metric of one run, or why there is none.

    Args:
        run: One (variant, seed).
        protocol: Key of PROTOCOLS.
        task: Key of TASKS.
        which: "best" (best validation during training, as paper 000 reports) or "last".
        metric: Key of the task's metrics.
        scene: Over whose validation frames.
    """
    if run.metrics is None:
        return run.problem
    skipped = run.metrics.get("skipped", {})
    if task in skipped:
        return "no labels" if task == "segmentation" else str(skipped[task])
    scores = run.metrics.get("cells", {}).get(f"{protocol}/{task}", {}).get(which, {})
    if scene != ALL_SCENES:
        scores = scores.get("scenes", {}).get(scene, {})
        if not scores and task == "segmentation":
            return "no labels"
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
