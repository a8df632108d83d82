"""`estimate-cost`: GPU-hours and disk of a params file at the papers' scale."""

import argparse
from collections import defaultdict

from pipeline.config import Params, load_params, params_path
from pipeline.reporting.markdown import markdown_table
from pipeline.reporting.measured_docs import read_measurements, scannet_artifacts
from pipeline.stages.common import StageError
from pipeline.training.cost import (
    NYUV2,
    SCANNET,
    TRAINING_SCENES,
    Rate,
    Scale,
    Training,
    published_rate,
    rate_of_pairs,
    trainings,
)

#: Stages of dvc.yaml that pretrain.
_PRETRAIN = ("pretrain", "continue_pretraining")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command line."""
    parser.add_argument("file", nargs="?", help="params file (default: params.yaml)")
    parser.add_argument(
        "--pairs-per-second",
        type=float,
        metavar="X",
        help="of your GPU: what `pretrain` shows for a row with VIEW and GEO, divided by the "
        "number of GPUs (default: the papers' own figure)",
    )


def run(args: argparse.Namespace) -> None:
    """Print the estimate.

    Raises:
        StageError: a dataset whose size is not known, or a throughput that is none.
    """
    params = load_params(args.file)
    if args.pairs_per_second is not None and not args.pairs_per_second > 0:
        raise StageError(f"--pairs-per-second must be positive, is {args.pairs_per_second}")
    rate = published_rate()
    if args.pairs_per_second is not None:
        rate = rate_of_pairs(args.pairs_per_second, params)
    print(f"{args.file or params_path()}\n")
    print(cost_markdown(params, rate))


def scale_of(params: Params) -> Scale:
    """How much data the params' dataset has.

    Raises:
        StageError: neither ScanNet nor NYUv2.
    """
    dataset = params.dataset
    if params.rooms is None and dataset.reader in ("scannet", "scannet_exported"):
        return SCANNET if dataset.pretrain_split != "train" else TRAINING_SCENES
    if dataset.name == "nyuv2":
        return NYUV2
    raise StageError(
        f"dataset {dataset.name}: its size is not known; estimate-cost knows all of ScanNet "
        "(readers scannet and scannet_exported) and NYUv2 (dataset.name nyuv2)"
    )


def cost_markdown(params: Params, rate: Rate) -> str:
    """Table of the rows, and below it where its numbers are from.

    Raises:
        StageError: as `scale_of`.
    """
    scale = scale_of(params)
    found = list(trainings(params, scale))
    by_row: dict[str, list[Training]] = defaultdict(list)
    for training in found:
        by_row[training.row].append(training)

    def cells(name: str, items: list[Training], factor: int = 1) -> list[str]:
        pretraining = sum(each.gmacs for each in items if each.stage in _PRETRAIN)
        total = sum(each.gmacs for each in items)
        hours = [
            f"{factor * gmacs / rate.gmacs / 3600:,.0f}"
            for gmacs in (pretraining, total - pretraining, total)
        ]
        return [name, *hours, f"{factor * sum(each.stored_bytes for each in items) / 1e9:,.1f}"]

    seeds = len(params.seeds)
    rows = [cells(f"`{name}`", items) for name, items in by_row.items()]
    rows += [cells("**one seed**", found), cells(f"**{seeds} seeds**", found, seeds)]
    header = ["row", "pretraining", "finetuning", f"{rate.gpu}-hours", "models, GB"]
    scratch = max(each.scratch_bytes for each in found) / 1e9
    return f"""\
{markdown_table(header, rows, 1)}

- Data: {scale.title}, {scale.n_train:,} labelled frames and {scale.n_validation:,} held out\
{f", {scale.n_pairs:,} pairs" if scale.n_pairs else ""} ({scale.source}).
- Hours: counted multiply-adds of the 2D networks at {rate.gmacs:,.0f}e9 a second ({rate.source}).
- Models: counted parameters, float32; with DVC's cache twice that, unless the file system has \
reflinks. Checkpoints of a training at work: up to {scratch:.1f} GB more.
{_artifacts(scale)}"""


def _artifacts(scale: Scale) -> str:
    if not scale.n_pairs:
        return "- Artifacts: of single images there are next to none."
    hours, size = scannet_artifacts(read_measurements())
    return (
        f"- Artifacts: {hours:.1f} core-hours of a CPU and {size / 1e9:.0f} GB, projected from "
        "what was measured (artifacts.md, All of ScanNet)."
    )


#: Presets whose cost stands in docs/reproduction.md.
_PAPERS = ("paper_000", "paper_001", "paper_001_nyuv2")


def papers_cost() -> str:
    """The section of docs/reproduction.md on the presets at the papers' scale."""
    rate = published_rate()
    parts = [
        f"#### presets/{name}.yaml\n\n{cost_markdown(load_params(f'presets/{name}.yaml'), rate)}"
        for name in _PAPERS
    ]
    return "\n\n".join(["### What it takes", *parts])
