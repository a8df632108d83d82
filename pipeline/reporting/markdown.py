"""Result tables as Markdown: captions that say what was measured, aligned to be read as text."""

from collections import Counter
from collections.abc import Mapping, Sequence

from pipeline.config import Finetuning, Params
from pipeline.reporting.frame_counts import describe_counts
from pipeline.reporting.reference import reference_tables
from pipeline.reporting.results import ALL_SCENES, PROTOCOLS, TASKS, Cell, Run, variant_label
from pipeline.reporting.tables import TableRecord, results_hash

NOT_PUBLISHED = "not in the paper"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], n_left: int) -> str:
    """Pipe table with aligned columns, the first `n_left` left-aligned, the others right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if i < n_left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [
        ":" + "-" * (width - 1) if i < n_left else "-" * (width - 1) + ":"
        for i, width in enumerate(widths)
    ]
    return "\n".join([line(header), line(rule), *map(line, rows)])


def format_cell(cell: Cell) -> str:
    """ "-12.34 ± 0.56 (n=2)"; without any value "missing (why)"; without labels "no labels"."""
    reasons = sorted(set(cell.missing.values()))
    if cell.mean is None:
        text = "; ".join(reasons)
        return text if text == "no labels" else f"missing ({text})"
    spread = f" ± {cell.std:.2f}" if cell.std is not None else ""
    lost = "".join(f"; seed {seed}: {why}" for seed, why in cell.missing.items())
    return f"{cell.mean:.2f}{spread} (n={len(cell.values)}{lost})"


def _score_table(records: Sequence[TableRecord], which: str, tasks: Sequence[str]) -> str:
    """Rows = protocol and variant; per task the measured and, for `best`, the published number."""
    shown = [
        record
        for record in records
        if record.which == which and record.tabulated and record.scene == ALL_SCENES
    ]
    header = ["protocol", "pretraining"]
    for task in tasks:
        header.append(f"{task}: measured")
        if which == "best":
            header.append(f"{task}: PUBLISHED")
    rows: dict[tuple[str, str], list[str]] = {}
    for record in shown:
        row = rows.setdefault(
            (record.protocol, record.variant), [PROTOCOLS[record.protocol][0], record.variant]
        )
        row.append(format_cell(record.cell))
        if which == "best":
            published = record.paper_value
            row.append(NOT_PUBLISHED if published is None else f"{published:.2f}")
    return markdown_table(header, list(rows.values()), 2)


def _scene_section(records: Sequence[TableRecord]) -> list[str]:
    """Best scores by scene, for data whose scenes are held out in part; a task without labels in a
    scene has no column, and a sentence says so."""
    shown = [
        record
        for record in records
        if record.which == "best" and record.tabulated and record.scene != ALL_SCENES
    ]
    if not shown:
        return []
    columns = dict.fromkeys((record.scene, record.task) for record in shown)
    measured = {(record.scene, record.task) for record in shown if record.cell.values}
    header = ["protocol", "pretraining"]
    header += [f"{scene}: {task}" for scene, task in sorted(measured)]
    rows: dict[tuple[str, str], dict[tuple[str, str], str]] = {}
    for record in shown:
        row = rows.setdefault((PROTOCOLS[record.protocol][0], record.variant), {})
        row[record.scene, record.task] = format_cell(record.cell)
    lines = [[*name, *(row[column] for column in sorted(measured))] for name, row in rows.items()]
    missing = [f"{scene}: {task}" for scene, task in columns if (scene, task) not in measured]
    note = f"No column, since there are no labels or no run: {', '.join(sorted(missing))}."
    return [
        "## Best validation value by scene",
        "The networks are the same as above, trained on the frames of all scenes."
        + (f" {note}" if missing else ""),
        markdown_table(header, lines, 2),
    ]


def _duration(steps: int | None, epochs: int) -> str:
    return f"{steps} steps" if steps is not None else f"{epochs} epochs"


def _finetuning_duration(finetuning: Finetuning) -> str:
    return ", ".join(
        f"{_duration(finetuning.steps.get(protocol), finetuning.epochs)} ({PROTOCOLS[protocol][0]})"
        for protocol in finetuning.protocols
    )


def _left_out(params: Params) -> list[str]:
    """What the paper's table has and this one was not asked to have."""
    labels = {variant_label(params.variants[name]) for name in params.rows}
    published = reference_tables()[PROTOCOLS["frozen"][1]].rows
    parts = [f"row {row}" for row in published if row not in labels]
    parts += [f"protocol {p}" for p in PROTOCOLS if p not in params.finetuning.protocols]
    parts += [f"task {task}" for task in TASKS if task not in params.finetuning.tasks]
    return parts


def caption(params: Params, runs: Mapping[str, Mapping[int, Run]]) -> list[str]:
    """Sentences that say what the measured numbers are and what the published ones are.

    Args:
        params: The run's params.
        runs: Variant -> seed -> run; the image counts are taken from the metrics.
    """
    dataset, model, matching = params.dataset, params.model, params.geometry.matching
    pretraining, finetuning = params.pretraining, params.finetuning
    rooms = params.rooms
    what = (
        f"procedural rooms in ScanNet's raw format ({rooms.n_train} for training, "
        f"{rooms.n_validation} for validation, {rooms.frames_per_room} frames each, seed "
        f"{rooms.seed}, colour informativeness {rooms.colour_informativeness:g})"
        if rooms is not None
        else f"read as `{dataset.reader}`, every {dataset.frame_stride}. frame"
        if dataset.frame_stride > 1
        else f"read as `{dataset.reader}`"
    )
    pretrained_on = dataset.pretrain_split.replace("_", " ")
    counts = {
        (run.metrics.get("n_train"), run.metrics.get("n_validation"))
        for seeds in runs.values()
        for run in seeds.values()
        if run.metrics is not None
    }
    images = " or ".join(f"{train} / {validation}" for train, validation in sorted(counts, key=str))
    radius = (
        f"strict, within {matching.radius_m * 100:g} cm in 3D"
        if matching.mode == "strict"
        else f"as Pri3D's code, within {matching.pri3d_pixel_z_m * 100:g} cm (pixels) and "
        f"{matching.pri3d_voxel_z_m * 100:g} cm (voxels) along z"
    )
    init = (
        "random"
        if model.init == "random"
        else f"checkpoint {model.init_checkpoint} (also in the row without pretraining)"
    )
    jitter = "Pri3D's colour jitter" if pretraining.augmentation.colour else "none"
    width = f", width x {model.width:g}" if model.width != 1 else ""
    lines = [
        f"Data: {dataset.name}, {what}. Pretrained on the {pretrained_on} scenes; finetuned / "
        f"validated on {images or 'no'} labelled frames.",
        f"Scale: images {dataset.image_size[0]} x {dataset.image_size[1]}, UNet with "
        f"{model.encoder}{width}, sparse 3D UNet on {params.geometry.voxel_size_m * 100:g} cm "
        f"voxels (planes {', '.join(map(str, model.sparse_planes))}); pretraining "
        f"{_duration(pretraining.steps, pretraining.epochs)} of {pretraining.batch_pairs} pairs, "
        f"finetuning {_finetuning_duration(finetuning)} of "
        f"{finetuning.batch_images} images. Matches: {radius}. Augmentation: {jitter}.",
        f"Start of the 2D encoder: {init}. The papers start from ImageNet weights.",
        f"Seeds: {', '.join(map(str, params.seeds))}. A seed varies the initial weights, the "
        "sampling of frame pairs and matches, and the order of the images, in pretraining and in "
        "finetuning; data and splits are the same for all seeds.",
        "Cells: mean ± sample standard deviation (n - 1) over n seeds. Units: depth "
        "-100 x mean squared error in m² over valid pixels; reconstruction -100 x mean squared "
        "error of ImageNet-normalised RGB; segmentation mIoU in % over the classes that occur in "
        "the validation frames. Greater is better.",
        "Columns marked PUBLISHED are not measured here: they are paper 000's Table 1 (ScanNet, "
        "240 x 320, ResNet50, about 60,000 steps of 64 pairs, ImageNet start, one run each), other "
        "data at another scale, so only the orders within two columns compare.",
    ]
    if left_out := _left_out(params):
        lines.append(
            f"In the paper's table but not asked for by these params: {', '.join(left_out)}."
        )
    lines.append(f"Params: {results_hash(params)}.")
    return lines


def render(
    params: Params,
    runs: Mapping[str, Mapping[int, Run]],
    records: Sequence[TableRecord],
    frames: Mapping[str, Counter[str]],
    figures: Mapping[str, str],
) -> str:
    """The whole Markdown page.

    Args:
        params: The run's params.
        runs: Variant -> seed -> run.
        records: What `tables.table1_records` made of them.
        frames: What the frames are for ("pretraining", "finetuning") -> frames by status.
        figures: File name -> caption of the pictures beside the page.
    """
    tasks = params.finetuning.tasks
    counts = [[purpose, describe_counts(statuses)] for purpose, statuses in frames.items()]
    parts = [
        f"# Paper 000, Table 1, measured on {params.dataset.name}",
        "\n".join(f"- {line}" for line in caption(params, runs)),
        "## Best validation value during training",
        "This is what the paper reports. It is chosen on the validation data, so it is optimistic.",
        _score_table(records, "best", tasks),
        "## Value at the end of training",
        _score_table(records, "last", tasks),
        *_scene_section(records),
        "## Frames",
        markdown_table(["used for", "frames"], counts, 2),
        *(f"## {text}\n\n![{text}]({name})" for name, text in figures.items()),
    ]
    return "\n\n".join(parts) + "\n"
