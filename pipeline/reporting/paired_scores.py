"""Scores of the cells that a claim compares, paired by seed and validation scene."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from pipeline.reporting.claims import Comparison
from pipeline.reporting.results import Cell, Results
from pipeline.reporting.table_specs import Source


@dataclass(frozen=True)
class PairedScores:
    """A comparison's weighted sum of scores, seed by seed and scene by scene.

    Attributes:
        differences: float64 (seeds, scenes), in the unit of the scores, of the seeds and scenes
            that all cells have a score of; there may be none.
        pooled: the same sum of the tables' scores, which pool all frames, mean over the same
            seeds; None without any.
        missing: why a cell has no score, or not of all seeds.
    """

    differences: Float64[np.ndarray, "seeds scenes"]
    pooled: float | None
    missing: tuple[str, ...]


def paired_scores(results: Results, comparison: Comparison, which: str) -> PairedScores:
    """Combine a comparison's cells within each seed and each scene.

    The two sides of a pair share what the seed decides (the order of the images, the initial
    weights of the parts that both have) and the scene, whose difficulty would hide the difference.

    A scene's score is that of its own frames: depth and reconstruction average over its valid
    pixels, the mIoU over the classes that occur in it. Every scene weighs the same, however many
    frames or pixels it has, because the question is about scenes that were not tried as well. The
    tables pool the pixels of all scenes, so that a difference of their cells, `pooled`, is not
    quite the same. A scene where a task has no valid pixel or no label does not count.

    Args:
        results: The runs.
        comparison: Whose terms are summed.
        which: "best" or "last".
    """
    cells = {
        source: results.cell(
            source.row, source.protocol, source.task, part=source.part, which=which
        )
        for _, source in comparison.terms
    }
    missing = tuple(
        f"{_name(source)}: {_reasons(cell)}" for source, cell in cells.items() if cell.missing
    )
    seeds = sorted(set.intersection(*(set(cell.values) for cell in cells.values())))
    if not seeds:
        return PairedScores(np.zeros((0, 0)), None, missing)
    of_scene = {source: _scene_scores(results, source, which) for source in cells}
    scenes = sorted(
        scene
        for scene in {scene for scores in of_scene.values() for _, scene in scores}
        if all((seed, scene) in scores for scores in of_scene.values() for seed in seeds)
    )
    if not scenes:
        missing = (*missing, "no scene has a score of every seed")
    differences, pooled = np.zeros((len(seeds), len(scenes))), 0.0
    for weight, source in comparison.terms:
        differences += weight * np.array(
            [[of_scene[source][seed, scene] for scene in scenes] for seed in seeds]
        )
        pooled += weight * float(np.mean([cells[source].values[seed] for seed in seeds]))
    return PairedScores(differences, pooled, missing)


def _scene_scores(results: Results, source: Source, which: str) -> dict[tuple[int, str], float]:
    """(seed, scene) -> score."""
    place, part = (source.row, source.protocol, source.task), source.part
    return {
        (seed, scene): value
        for scene in results.scenes(*place, part=part)
        for seed, value in results.cell(*place, part=part, which=which, scene=scene).values.items()
    }


def _name(source: Source) -> str:
    return f"{source.row} ({source.part})" if source.part else source.row


def _reasons(cell: Cell) -> str:
    """ "not run" of all seeds alike, or "seed 3: diverged: nan"."""
    if not cell.values:
        return "; ".join(dict.fromkeys(cell.missing.values()))
    return "; ".join(f"seed {seed}: {why}" for seed, why in cell.missing.items())
