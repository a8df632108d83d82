"""What DVC compares between commits and experiments: scores and curves, means over the seeds."""

import math
import statistics
from collections.abc import Mapping
from typing import Any

from pipeline.config import Params
from pipeline.reporting.results import TASKS, Run, gather

#: Variant -> seed -> run.
Runs = Mapping[str, Mapping[int, Run]]
#: `step`, and a value for each variant, None where it has none at this step.
Point = dict[str, int | float | None]


def mean_scores(params: Params, runs: Runs, variant: str) -> dict[str, dict[str, float]]:
    """Protocol -> task -> tabulated value of a variant; what there is no value of is left out."""
    scores: dict[str, dict[str, float]] = {}
    for protocol, task in params.cells(variant):
        mean = gather(runs[variant], protocol, task, "best", TASKS[task][0]).mean
        if mean is not None:
            scores.setdefault(protocol, {})[task] = mean
    return scores


def mean_curves(params: Params, runs: Runs) -> dict[str, list[Point]]:
    """The loss while pretraining, and the tabulated value of each cell while finetuning.

    Args:
        params: Of the runs.
        runs: Of rows that have the same cells.

    Returns:
        "pretraining", perhaps without points, since DVC misses a folder without files; and
        "<protocol>-<task>" where there are any -> points by step.
    """
    curves = {}
    for protocol, task in dict.fromkeys(cell for row in runs for cell in params.cells(row)):
        keys = ("cells", f"{protocol}/{task}", "curve")
        curves[f"{protocol}-{task}"] = _mean_curve(runs, TASKS[task][0], *keys)
    found = {name: points for name, points in curves.items() if points}
    return {"pretraining": _mean_curve(runs, "loss", "pretraining"), **found}


def _mean_curve(runs: Runs, value: str, *keys: str) -> list[Point]:
    """Points of the records that the runs' metrics hold under nested keys."""
    found: dict[int, dict[str, list[float]]] = {}
    for variant, of_seed in runs.items():
        for run in of_seed.values():
            records: Any = run.metrics or {}
            for key in keys:
                records = records.get(key, {})
            for record in records:
                values = found.setdefault(record["step"], {name: [] for name in runs})[variant]
                if record[value] is not None and math.isfinite(record[value]):
                    values.append(record[value])
    return [
        {"step": step}
        | {name: statistics.fmean(values) if values else None for name, values in at_step.items()}
        for step, at_step in sorted(found.items())
    ]
