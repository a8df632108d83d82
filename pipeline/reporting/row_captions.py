"""What a caption says of the rows of a table: how each was pretrained."""

from collections.abc import Iterator

from pipeline.config import Params, SetContrast
from pipeline.config.pretraining import THEN
from pipeline.reporting.labels import row_label
from pipeline.reporting.results import MEAN_PREDICTOR
from pipeline.reporting.table_specs import TableSpec
from pipeline.reporting.tables import is_second_dataset


def duration(steps: int | None, epochs: int) -> str:
    """Of a training, as params.yaml gives it."""
    return f"{steps} steps" if steps is not None else f"{epochs} epochs"


def row_sentences(params: Params, spec: TableSpec) -> Iterator[str]:
    """Recipes that differ from the others', the second stage, encoders, starts and definitions."""
    yield from _own_recipes(params, spec)
    yield from _second_stage(params, spec)
    yield from _encoders(params, spec)
    yield _start(params, spec)
    yield from _definitions(params, spec)


def _slugs(spec: TableSpec) -> dict[str, str]:
    """Slug -> label of the first cell that shows it, without the mean predictor."""
    found: dict[str, str] = {}
    for _, row, _, source in spec.sources():
        for slug in filter(None, (source.row, source.against)):
            if slug != MEAN_PREDICTOR:
                found.setdefault(slug, row.label if slug == row.row else slug)
    return found


def _is_defined(params: Params, slug: str) -> bool:
    return all(name in params.variants for name in slug.rpartition(THEN)[::2] if name)


def _own_recipes(params: Params, spec: TableSpec) -> Iterator[str]:
    """Pretrainings to which what the caption says of pairs and augmentation does not apply."""
    if is_second_dataset(params):
        return
    labels: dict[str, list[str]] = {}
    shown = _slugs(spec)
    for slug in shown:
        if not _is_defined(params, slug):
            continue
        for stage in dict.fromkeys((slug.partition(THEN)[0], slug)):
            variant = params.variant(stage)
            if moco := variant.moco:
                words = (
                    f"no pairs but single frames, {duration(moco.steps, moco.epochs)} of "
                    f"{moco.batch_images} images at an initial rate of {moco.learning_rate:g}, "
                    "with MoCo v2's crops, flips and colour augmentation"
                )
            elif variant.colour is not None:
                words = f"{'with' if variant.colour else 'without'} Pri3D's colour jitter"
            else:
                continue
            labels.setdefault(words, []).append(shown.get(stage, stage))
    for words, names in labels.items():
        yield f"Pretrained otherwise: {', '.join(dict.fromkeys(names))} ({words})."


def _second_stage(params: Params, spec: TableSpec) -> Iterator[str]:
    shown = _slugs(spec)
    if any(THEN in slug for slug in shown):
        stage, default = params.second_stage, SetContrast()
        yield (
            f"Second stage: {duration(stage.steps, stage.epochs)} at an initial rate of "
            f"{stage.learning_rate:g}. Sets, where a row does not say otherwise: k "
            f"{default.source}, {default.aggregation} aggregation, "
            f"negatives of the same {default.negatives}."
        )
    from_labels = [
        label
        for slug, label in shown.items()
        if _is_defined(params, slug)
        and (sets := params.variant(slug).sets) is not None
        and sets.source == "labels"
    ]
    if from_labels and params.dataset.pretrain_split == "train_and_validation":
        yield (
            f"{', '.join(from_labels)}: its sets are the regions of the labels of the validation "
            "scenes, too, so it has seen part of what it is validated on."
        )


def _encoders(params: Params, spec: TableSpec) -> Iterator[str]:
    for column in spec.columns:
        if column.label.lower() in ("resnet18", "resnet50"):
            slugs = [column.slug(row.row) for block in spec.blocks for row in block.rows]
            encoders = {
                params.variant(slug).encoder or params.model.encoder
                for slug in slugs
                if _is_defined(params, slug)
            }
            if encoders and (encoders != {column.label.lower()} or params.model.width != 1):
                yield (
                    f"Column {column.title}: the paper's encoder; measured with "
                    f"{' or '.join(sorted(encoders))}, width x {params.model.width:g}."
                )


def _start(params: Params, spec: TableSpec) -> str:
    starts: dict[str, list[str]] = {}
    for slug, label in _slugs(spec).items():
        if _is_defined(params, slug):
            model = params.for_row(slug.partition(THEN)[0]).model
            file = model.init_checkpoint or "(none given)"
            words = "random" if model.init == "random" else f"checkpoint {file}"
            starts.setdefault(words, []).append(label)
    described = "; ".join(
        words if len(starts) == 1 else f"{words} ({', '.join(dict.fromkeys(labels))})"
        for words, labels in starts.items()
    )
    return (
        f"Start of the 2D encoder: {described or 'no row is defined'}. The papers start from "
        "ImageNet weights, but for From Scratch."
    )


def _definitions(params: Params, spec: TableSpec) -> Iterator[str]:
    """What the rows are with these params, where the label does not say so."""
    parts = [
        f"{label} = {row_label(params, slug)}"
        for slug, label in _slugs(spec).items()
        if _is_defined(params, slug) and label != row_label(params, slug)
    ]
    if parts:
        yield f"Rows as these params define them: {'; '.join(parts)}."
