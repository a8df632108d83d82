"""`make-tables`: metrics of all finetuning runs -> result tables and figures."""

import argparse
from collections import Counter

import numpy as np

from pipeline import layout
from pipeline.atomic import write_json, write_text
from pipeline.config import Params, load_params
from pipeline.reporting import claims_page, latex, markdown
from pipeline.reporting.curves import mean_curves, mean_scores
from pipeline.reporting.figures import draw_depths, draw_reconstructions
from pipeline.reporting.frame_counts import count_statuses
from pipeline.reporting.results import Results
from pipeline.reporting.tables import (
    WHICH,
    figure_files,
    fit_spec,
    results_hash,
    table_files,
    table_records,
)
from pipeline.reporting.tidy_csv import to_csv
from pipeline.reporting.verdicts import evaluate_claims
from pipeline.stages.artifact_check import check_artifacts
from pipeline.stages.common import StageError
from pipeline.stages.scene_lists import scene_names

#: Figures show the representations themselves, without finetuned features (paper 000, section 4.2).
FIGURE_PROTOCOL = "frozen"
#: The table that they belong to.
FIGURE_TABLE = "000.t1"


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
    """Label of Table 1 -> arrays of the first seed's pictures.npz; None where there are none."""
    pictures: dict[str, dict[str, np.ndarray] | None] = {}
    for row in fit_spec(params, FIGURE_TABLE).blocks[0].rows:
        if row.row in params.rows:
            folder = layout.finetune_results(params.dataset.name, row.row, params.seeds[0])
            file = folder / "pictures.npz"
            pictures[row.label] = dict(np.load(file)) if file.is_file() else None
    return pictures


def make_figures(params: Params) -> dict[str, str]:
    """Draw the qualitative figures that the runs have pictures for.

    Args:
        params: The run's params.

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
    captions, files = {}, figure_files(params.dataset.name)
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


def _write_claims(params: Params, results: Results) -> None:
    best, last = (evaluate_claims(params, results, which) for which in WHICH)
    files = claims_page.claim_files(params.dataset.name)
    write_text(files["csv"], claims_page.to_csv([*best, *last], params))
    write_text(files["md"], claims_page.to_markdown(best, last, params))
    write_text(files["tex"], claims_page.to_latex(best, last, params))
    print(f"claims: wrote {', '.join(map(str, files.values()))}")


def run(args: argparse.Namespace) -> None:
    """Write every table in `params.tables` in all formats, the papers' claims about their cells,
    figures, and what DVC compares.

    Raises:
        StageError: not one run has results.
    """
    params = load_params()
    dataset = params.dataset.name
    check_artifacts(dataset, ["frames", "labelled_frames"], contents=False)
    results = Results(params)
    runs = {row: results.runs(row) for row in params.all_rows}
    if all(run.metrics is None for of_seed in runs.values() for run in of_seed.values()):
        raise StageError(
            f"{layout.finetune_results_dir(dataset)}: no results of any row and seed; "
            "`snakemake --cores 2 all_tables` makes them"
        )
    frames = _frame_counts(params)
    for table in params.tables:
        records = table_records(params, table, results)
        figures = make_figures(params) if table == FIGURE_TABLE else {}
        texts = {
            "csv": to_csv(records, dataset, results_hash(params)),
            "md": markdown.render(params, table, results, records, frames, figures),
            "tex": latex.render(params, table, results, records),
        }
        files = table_files(dataset, table)
        for suffix, text in texts.items():
            write_text(files[suffix], text)
        print(f"{table}: wrote {', '.join(map(str, files.values()))}")
    _write_claims(params, results)
    for row in runs:
        write_json(layout.scores(dataset, row), mean_scores(params, runs, row))
    for group in ("rows", "segmentation_rows"):
        of_group = {row: runs[row] for row in getattr(params, group)}
        for name, points in mean_curves(params, of_group).items():
            write_json(layout.curve(dataset, group, name), points)
