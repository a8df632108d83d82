"""`make-tables`: metrics of all finetuning runs -> result tables and figures."""

import argparse
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline import layout
from pipeline.atomic import write_json, write_text
from pipeline.config import Params, load_params
from pipeline.reporting.curves import mean_curves, mean_scores
from pipeline.reporting.figures import draw_depths, draw_reconstructions
from pipeline.reporting.frame_counts import count_statuses
from pipeline.reporting.markdown import render
from pipeline.reporting.results import Run, variant_label
from pipeline.reporting.tables import read_runs, table1_records, table_files, to_csv
from pipeline.stages.artifact_check import check_artifacts
from pipeline.stages.common import StageError
from pipeline.stages.scene_lists import scene_names

#: Figures show the representations themselves, without finetuned features (paper 000, section 4.2).
FIGURE_PROTOCOL = "frozen"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments: everything comes from params.yaml."""


def _frame_counts(params: Params) -> dict[str, Counter[str]]:
    folder = layout.artifacts_dir(params.dataset.name)
    scenes = scene_names(params)
    kinds = {"pretraining": "frames", "finetuning": "labelled_frames"}
    return {
        purpose: count_statuses([layout.artifact(folder, scene, kind) for scene in scenes], kind)
        for purpose, kind in kinds.items()
    }


def _load_pictures(params: Params) -> dict[str, dict[str, np.ndarray] | None]:
    """Row label -> arrays of the first seed's pictures.npz; None where there are none."""
    pictures: dict[str, dict[str, np.ndarray] | None] = {}
    for variant in params.rows:
        folder = layout.finetune_results(params.dataset.name, variant, params.seeds[0])
        file = folder / "pictures.npz"
        label = variant_label(params.variants[variant])
        pictures[label] = dict(np.load(file)) if file.is_file() else None
    return pictures


def make_figures(params: Params, files: Mapping[str, Path]) -> dict[str, str]:
    """Draw the qualitative figures that the runs have pictures for.

    Args:
        params: The run's params.
        files: What `tables.table_files` returned.

    Returns:
        File name -> caption of every figure drawn.

    Raises:
        StageError: runs show different frames.
    """
    pictures = _load_pictures(params)
    found = [arrays for arrays in pictures.values() if arrays is not None]
    if not found or FIGURE_PROTOCOL not in params.finetuning.protocols:
        return {}
    frames = [str(frame) for frame in found[0]["frame"]]
    if any(list(map(str, arrays["frame"])) != frames for arrays in found):
        raise StageError(
            f"pictures.npz of {params.dataset.name}'s runs show different frames; "
            f"finetune again: delete {layout.finetune_results_dir(params.dataset.name)}"
        )
    captions = {}
    for task in ("reconstruction", "depth"):
        if task not in params.finetuning.tasks:
            continue
        key = f"{FIGURE_PROTOCOL}/{task}"
        shown = {
            label: None if arrays is None else arrays.get(key) for label, arrays in pictures.items()
        }
        if task == "reconstruction":
            draw_reconstructions(files[task], frames, found[0]["image"], shown)
        else:
            draw_depths(files[task], frames, found[0]["image"], found[0]["depth_true"], shown)
        captions[files[task].name] = (
            f"{task.capitalize()} from the frozen representations, validation frames of "
            f"{params.dataset.name}, seed {params.seeds[0]} (like paper 000's Figure "
            f"{3 if task == 'reconstruction' else 4})"
        )
    return captions


def _any_result(runs: Mapping[str, Mapping[int, Run]]) -> bool:
    return any(run.metrics is not None for seeds in runs.values() for run in seeds.values())


def run(args: argparse.Namespace) -> None:
    """Write csv, Markdown and figures of every table in `params.tables`, and what DVC compares.

    Raises:
        StageError: not one run has results.
    """
    params = load_params()
    check_artifacts(params.dataset.name, ["frames", "labelled_frames"], contents=False)
    runs = read_runs(params)
    if not _any_result(runs):
        raise StageError(
            f"{layout.finetune_results_dir(params.dataset.name)}: no results of any row and seed; "
            "`snakemake --cores 2 all_tables` makes them"
        )
    for table in params.tables:
        files = TABLES[table](params, runs)
        print(f"{table}: wrote {', '.join(map(str, files.values()))}")
    dataset = params.dataset.name
    for variant in params.rows:
        write_json(layout.scores(dataset, variant), mean_scores(params, runs, variant))
    for name, points in mean_curves(params, runs).items():
        write_json(layout.curve(dataset, name), points)


def write_table1(params: Params, runs: Mapping[str, Mapping[int, Run]]) -> dict[str, Path]:
    """Paper 000's Table 1 and Figures 3 and 4; the files written."""
    files = table_files(params.dataset.name)
    records = table1_records(params, runs)
    captions = make_figures(params, files)
    write_text(files["csv"], to_csv(records))
    write_text(files["markdown"], render(params, runs, records, _frame_counts(params), captions))
    return files


#: `tables` in params.yaml -> what writes it.
TABLES = {"000.t1": write_table1}
