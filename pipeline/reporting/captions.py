"""Captions of the result tables: what the measured numbers are, and what the published ones are."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.config import Finetuning, Params
from pipeline.reporting.reference import reference_tables
from pipeline.reporting.results import MEAN_PREDICTOR, PROTOCOLS, Results
from pipeline.reporting.row_captions import duration, row_sentences
from pipeline.reporting.table_specs import TABLES, Source, TableSpec
from pipeline.reporting.tables import fit_spec, is_second_dataset, results_hash


@dataclass(frozen=True)
class Shown:
    """Which of a cell's two values a table shows.

    Attributes:
        heading: above it.
        meaning: a sentence on it.
    """

    heading: str
    meaning: str


BEST = Shown(
    "Best validation value during training",
    "This is what the papers report. It is chosen on the validation data, so it is optimistic.",
)
LAST = Shown("Value at the end of training", "Nothing is chosen on the validation data.")

_UNITS = {
    "depth": "depth -100 x mean squared error in m² over valid pixels",
    "reconstruction": "reconstruction -100 x mean squared error of ImageNet-normalised RGB",
    "segmentation": "segmentation mIoU in %",
}
_COUNTING = {
    "classes": " over the classes that occur in the validation frames",
    "pri3d": ", counted as Pri3D's code does, with its loophole",
}
#: How the papers got their numbers.
_SCALES = {
    "paper 000": "240 x 320, ResNet50, 60,000 steps of 64 pairs, ImageNet start, one run each",
    "paper 001": "240 x 320, 5 epochs of pretraining and 2 of the second stage with 64 pairs a "
    "step, ImageNet start, one run each",
}


def caption(params: Params, table: str, results: Results, with_published: bool = True) -> list[str]:
    """Sentences on data, scale, start of the encoder, seeds, units, published numbers and params.

    Args:
        params: The run's params.
        table: Key of TABLES.
        results: The runs; the image counts are taken from their metrics.
        with_published: Whether the published numbers are shown, too.
    """
    spec = fit_spec(params, table)
    sources = [source for *_, source in spec.sources()]
    return [
        _data(params, sources, results),
        _scale(params, sources),
        *row_sentences(params, spec),
        *_parts(params, sources),
        _seeds(params, sources),
        _units(params, spec),
        *([_published(spec)] if with_published else []),
        *_left_out(spec),
        f"Params: {results_hash(params)}.",
    ]


def _data(params: Params, sources: list[Source], results: Results) -> str:
    dataset, rooms = params.dataset, params.rooms
    what = (
        f"procedural rooms in ScanNet's raw format ({rooms.n_train} for training, "
        f"{rooms.n_validation} for validation, {rooms.frames_per_room} frames each, seed "
        f"{rooms.seed}, colour informativeness {rooms.colour_informativeness:g})"
        if rooms is not None
        else f"read as `{dataset.reader}`, every {dataset.frame_stride}. frame"
        if dataset.frame_stride > 1
        else f"read as `{dataset.reader}`"
    )
    counts = {
        (run.metrics.get("n_train"), run.metrics.get("n_validation"))
        for source in sources
        if source.row != MEAN_PREDICTOR
        for run in results.runs(source.row, source.part).values()
        if run.metrics is not None
    }
    images = " or ".join(f"{train} / {validation}" for train, validation in sorted(counts, key=str))
    where = f"the {dataset.pretrain_split.replace('_', ' ')} scenes"
    if is_second_dataset(params):
        where = f"the dataset {params.pretrained_on}, with its own params"
    return (
        f"Data: {dataset.name}, {what}. Pretrained on {where}; finetuned / validated on "
        f"{images or 'no'} labelled frames."
    )


def _finetuning_duration(finetuning: Finetuning, shown: set[str]) -> str:
    return ", ".join(
        f"{duration(finetuning.steps.of(protocol), finetuning.epochs)} ({PROTOCOLS[protocol][0]})"
        for protocol in PROTOCOLS
        if protocol in shown
    )


def _scale(params: Params, sources: list[Source]) -> str:
    dataset, model, matching = params.dataset, params.model, params.geometry.matching
    pretraining, finetuning = params.pretraining, params.finetuning
    radius = (
        f"strict, within {matching.radius_m * 100:g} cm in 3D"
        if matching.mode == "strict"
        else f"as Pri3D's code, within {matching.pri3d_pixel_z_m * 100:g} cm (pixels) and "
        f"{matching.pri3d_voxel_z_m * 100:g} cm (voxels) along z"
    )
    jitter = "Pri3D's colour jitter" if pretraining.augmentation.colour else "none"
    matches = f" Matches: {radius}. Augmentation: {jitter}."
    width = f", width x {model.width:g}" if model.width != 1 else ""
    protocols = {source.protocol for source in sources}
    pretrained = (
        f", UNet with {model.encoder}{width}, sparse 3D UNet on "
        f"{params.geometry.voxel_size_m * 100:g} cm voxels (planes "
        f"{', '.join(map(str, model.sparse_planes))}); pretraining "
        f"{duration(pretraining.steps, pretraining.epochs)} of {pretraining.batch_pairs} pairs"
    )
    if is_second_dataset(params):
        pretrained, matches = "", ""
    finetuned = (
        "finetuning as the networks' own schedule says"
        if all(_is_network(source.part) for source in sources)
        else f"finetuning {_finetuning_duration(finetuning, protocols)} of "
        f"{finetuning.batch_images} images"
    )
    return (
        f"Scale: images {dataset.image_size[0]} x {dataset.image_size[1]}{pretrained}, "
        f"{finetuned}.{matches}"
    )


def _is_network(part: str) -> bool:
    return bool(part) and not part.isdigit()


def _seeds(params: Params, sources: list[Source]) -> str:
    shares = any(source.part.isdigit() for source in sources)
    return (
        f"Seeds: {', '.join(map(str, params.seeds))}. A seed varies the initial weights, the "
        "sampling of frame pairs and matches, and the order of the images, in pretraining and in "
        "finetuning; data and splits are the same for all seeds"
        f"{', except the shares of the labels' if shares else ''}."
    )


def _parts(params: Params, sources: list[Source]) -> Iterator[str]:
    """Of fewer labels and of other networks."""
    parts = {source.part for source in sources}
    if any(part.isdigit() for part in parts):
        yield (
            f"Labels: shares of the labelled training frames, drawn by {params.label_fractions.by}"
            ", nested, anew for each seed; the validation frames stay."
        )
    if any(map(_is_network, parts)):
        networks = params.networks
        length = (
            f"{networks.steps} steps"
            if networks.steps
            else "the code's 50,000 steps (DeepLab) or 50 epochs (PSPNet)"
        )
        yield (
            f"Networks: heads of {networks.width} channels, finetuned {length} of "
            f"{networks.batch_images} images at an initial rate of {networks.learning_rate:g}."
        )


def _units(params: Params, spec: TableSpec) -> str:
    tasks = dict.fromkeys(column.task for column in spec.columns)
    units = "; ".join(_UNITS[task] for task in tasks)
    counting = _COUNTING[params.finetuning.miou_counting] if "segmentation" in tasks else ""
    mean = (
        " The mean predictor is no network: it gives every pixel the mean depth, the mean colour "
        "or the most frequent class of the training frames, once for a dataset."
        if any(row.row == MEAN_PREDICTOR for block in spec.blocks for row in block.rows)
        else ""
    )
    return (
        "Cells: mean ± sample standard deviation (n - 1) over n seeds. Units: "
        f"{units}{counting}. Greater is better.{mean}"
    )


def _published(spec: TableSpec) -> str:
    references = [reference_tables()[block.reference] for block in spec.blocks]
    data = dict.fromkeys(
        name
        for reference in references
        for name in reference.datasets
        if len(reference.datasets) == 1
        or any(column.label.startswith(name.split()[0]) for column in spec.columns)
    )
    notes = "; ".join(dict.fromkeys(reference.notes for reference in references if reference.notes))
    return (
        f"Columns marked PUBLISHED are not measured here: they are {spec.title.partition(':')[0]} "
        f"({', '.join(data)}, {_SCALES[references[0].paper]}), other data at another scale, so "
        "only the orders within two columns compare." + (f" Notes: {notes}." if notes else "")
    )


def _left_out(spec: TableSpec) -> Iterator[str]:
    """What the paper's table has and this one was not asked to have."""
    whole = TABLES[spec.table]
    parts = [
        f"protocol {block.protocol}"
        for block in whole.blocks
        if block.reference not in {each.reference for each in spec.blocks}
    ]
    tasks = {column.task for column in spec.columns}
    parts += [f"task {column.task}" for column in whole.columns if column.task not in tasks]
    if parts:
        yield f"In the paper's table but not asked for by these params: {', '.join(parts)}."
