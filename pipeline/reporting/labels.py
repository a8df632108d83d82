"""How rows are called: from their definition in params.yaml, as the papers would print it."""

from pipeline.config import Params, Variant
from pipeline.config.pretraining import THEN

#: Losses that the papers do not print in capitals.
_WORDS = {"depth": "depth prediction", "moco": "MoCo v2", "set": "set-InfoNCE"}


def _option(key: str, value: object) -> str:
    """An option of a loss."""
    if key == "source":
        return "sets by label" if value == "labels" else f"k {value}"
    return str(value) if key == "aggregation" else f"{key} {value}"


def variant_label(variant: Variant) -> str:
    """Of one stage: "VIEW+GEO+d (lin)"; options of its own, if not the defaults, are added."""
    remarks = ["lin"] if variant.linear else []
    for options in filter(None, (variant.sets, variant.depth, variant.moco)):
        remarks += [_option(*each) for each in options.model_dump(exclude_defaults=True).items()]
    if variant.learning_rate is not None:
        remarks.append(f"lr {variant.learning_rate:g}")
    if variant.encoder is not None:
        remarks.append(variant.encoder)
    if variant.colour is not None:
        remarks.append(f"{'with' if variant.colour else 'without'} colour jitter")
    if not variant.losses:
        name = "no pretraining"
    elif len(variant.losses) == 1:
        name = _WORDS.get(variant.losses[0], variant.losses[0].upper())
    else:
        name = "+".join("d" if loss == "depth" else loss.upper() for loss in variant.losses)
    return f"{name} ({', '.join(remarks)})" if remarks else name


def row_label(params: Params, row: str) -> str:
    """Of a row: "VIEW+GEO", or "VIEW+GEO, then set-InfoNCE" of a second stage.

    Raises:
        KeyError: there is no such row.
    """
    stages = [stage for stage in row.rpartition(THEN)[::2] if stage]
    return ", then ".join(variant_label(params.variants[stage]) for stage in stages)
