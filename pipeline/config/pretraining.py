"""Sections of params.yaml: pretraining and its variants."""

from typing import Any, Literal

from pydantic import Field, model_validator

from pipeline.config.model import Encoder
from pipeline.config.section import Fraction, Positive, Section, Slug

#: Between the start and the variant in the name of a row of the second stage.
THEN = "_then_"


def second_stage_row(start: str, variant: str) -> str:
    """Name of the row of a variant that goes on from a start."""
    return f"{start}{THEN}{variant}"


#: Where sets come from: the k of an oversegmentation, or ground-truth labels.
SetSource = Positive | Literal["labels"]


class Contrast(Section):
    """PointInfoNCE (paper 000 Eq. 1; spec C.4)."""

    temperature: Positive = Field(0.4, description="tau (000 section 4.1.1: 0.4)")
    n_matches: int = Field(1024, ge=2, description="matches per pair (VIEW), per view (GEO)")
    symmetric: bool = Field(True, description="average both directions (code) or a to b (Eq. 1)")
    negatives: Literal["pair", "batch"] = Field(
        "pair",
        description="the other matches of the same pair, or of all pairs of a part of a step (see "
        "accumulation)",
    )


class SetContrast(Section):
    """Set-InfoNCE over oversegmentation sets (paper 001 Eqs. 2-3; spec B.2).

    Temperature and symmetry are those of `pretraining.contrast`.
    """

    source: SetSource = Field(
        0.05,
        description="the k of the sets, one of geometry.oversegmentation.k, or `labels` (paper "
        "001 does not say which k Table 1 uses; its value equals that of 0.05 in Table 9)",
    )
    aggregation: Literal["mean", "asymmetric"] = Field(
        "mean",
        description="a set's feature: mean over its pixels; asymmetric: anchor and negatives "
        "are one pixel's (001 section 5.2)",
    )
    renormalise: bool = Field(
        False, description="normalise the mean of normalised features again (Eqs. 2-3 do not)"
    )
    negatives: Literal["pair", "batch"] = Field(
        "pair",
        description="the other sets of the same pair, or of all pairs of a part of a step (see "
        "pretraining.accumulation; 001 does not say which)",
    )
    min_pixels: int = Field(1, ge=1, description="pixels that a set needs in both views")


class DepthLoss(Section):
    """The depth proxy loss, "+d" (Hu et al. 2019; spec C.5)."""

    alpha_m: Positive = Field(0.5, description="added to errors before the logarithm (code: 0.5)")
    combine: Literal["mean", "sum"] = Field(
        "mean", description="of the terms depth, gradient, normal: mean (code), sum (Hu et al.)"
    )
    weight: Positive = Field(1.0, description="beside the other losses (code: 1)")


class Moco(Section):
    """MoCo v2 on single frames (paper 001 Table 1; spec E)."""

    queue: int = Field(65536, ge=1, description="negatives kept (MoCo v2: 65,536)")
    momentum: Fraction = Field(0.999, description="of the key encoder (MoCo v2: 0.999)")
    temperature: Positive = Field(0.2, description="MoCo v2: 0.2")
    dim: int = Field(128, ge=2, description="width of the embedding (MoCo v2: 128)")
    learning_rate: Positive = Field(0.03, description="initial rate, cosine decay (MoCo v2: 0.03)")
    weight_decay: float = Field(0.0001, ge=0, description="SGD weight decay (MoCo v2: 0.0001)")
    batch_images: int = Field(256, ge=2, description="images a step (MoCo v2: 256)")
    bn_images: int = Field(
        32,
        ge=2,
        description="images that share BatchNorm's statistics; keys are shuffled between these "
        "groups, which replaces shuffling between GPUs (MoCo v2: 256 images on 8 GPUs)",
    )
    steps: int | None = Field(None, ge=1, description="optimiser steps; null: from `epochs`")
    epochs: int = Field(100, ge=1, description="passes over all frames (Pri3D: 100)")
    crop_scale: tuple[Fraction, Fraction] = Field(
        (0.2, 1.0), description="area of a random crop, share of the frame's (MoCo v2: 0.2 to 1)"
    )

    @model_validator(mode="after")
    def _queue_holds_a_batch(self) -> "Moco":
        if self.queue < self.batch_images:
            raise ValueError(
                f"queue ({self.queue}) must hold a batch: batch_images is {self.batch_images}"
            )
        return self


class Compute(Section):
    """How the arithmetic is done; precision may move results, the rest only rounding."""

    precision: Literal["float32", "bf16"] = Field(
        "float32", description="bf16: autocast of the networks; losses and weights stay float32"
    )
    compile: bool = Field(False, description="torch.compile of the 2D network")
    channels_last: bool = Field(True, description="memory layout of the 2D network")


class Augmentation(Section):
    """Colour augmentation of pretraining (spec A.7; confounder, see spec F.1 item 4)."""

    colour: bool = Field(False, description="Pri3D's jitter, grayscale and blur, or none (paper)")


class Pretraining(Section):
    """Contrastive pretraining (spec C.4, C.6)."""

    min_overlap: Fraction = Field(0.3, description="frame pairs kept (papers: 0.30)")
    steps: int | None = Field(None, ge=1, description="optimiser steps; null: from `epochs`")
    epochs: int = Field(5, ge=1, description="passes over all pairs, if `steps` is null (001: 5)")
    batch_pairs: int = Field(64, ge=1, description="frame pairs a step (papers: 64)")
    pairs_per_scene: int = Field(
        1,
        ge=1,
        description="pairs of one scene drawn together; they share one pass of the 3D network "
        "(papers: 1, pairs drawn one by one)",
    )
    accumulation: int = Field(
        1,
        ge=1,
        description="steps are split into this many parts, whose gradients are averaged; up to as "
        "many processes (GPUs) share them, and how many do changes nothing but the time",
    )
    learning_rate: Positive = Field(0.1, description="initial rate (papers: 0.1)")
    momentum: Fraction = Field(0.9, description="SGD momentum")
    dampening: Fraction = Field(0.1, description="SGD dampening (code: 0.1)")
    weight_decay: float = Field(0.0, ge=0, description="SGD weight decay")
    poly_power: Positive = Field(0.9, description="polynomial decay (papers: 0.9)")
    contrast: Contrast = Contrast()
    augmentation: Augmentation = Augmentation()
    compute: Compute = Compute()
    checkpoint_every: int = Field(100, ge=1, description="steps between resumable checkpoints")
    workers: int = Field(0, ge=0, description="loader processes")

    @model_validator(mode="after")
    def _parts_are_equal(self) -> "Pretraining":
        if self.batch_pairs % self.accumulation:
            raise ValueError(
                f"batch_pairs ({self.batch_pairs}) must be a multiple of accumulation "
                f"({self.accumulation})"
            )
        return self


#: Loss -> the section of a variant with its options.
_OPTIONS = {"set": "sets", "depth": "depth", "moco": "moco"}


class Variant(Section):
    """A way to pretrain: its losses with their options, and what else it does in its own way."""

    losses: list[Literal["view", "geo", "depth", "set", "moco"]] = Field(
        description="summed; [] is a row without pretraining; moco stands alone"
    )
    linear: bool = Field(False, description="(lin): linear layers before GEO (000 section 3.2)")
    learning_rate: Positive | None = Field(
        None, description="instead of pretraining's; moco has its own"
    )
    encoder: Encoder | None = Field(None, description="instead of model's")
    init: Literal["random", "checkpoint"] | None = Field(
        None,
        description="instead of model's; a variant without losses whose checkpoint is not given "
        "becomes a row that says so",
    )
    init_checkpoint: str | None = Field(
        None, description="instead of model's; an encoder of its own needs a file of its own"
    )
    colour: bool | None = Field(None, description="instead of pretraining.augmentation's")
    sets: SetContrast | None = Field(None, description="options of set, if not the defaults")
    depth: DepthLoss | None = Field(None, description="options of depth, if not the defaults")
    moco: Moco | None = Field(None, description="options of moco, if not the defaults")

    @model_validator(mode="before")
    @classmethod
    def _options_have_defaults(cls, content: Any) -> Any:
        """A section is None exactly where `losses` does not name its loss."""
        losses = content.get("losses") if isinstance(content, dict) else None
        if not isinstance(losses, list | tuple):
            return content
        return content | {
            key: {} for loss, key in _OPTIONS.items() if loss in losses and content.get(key) is None
        }

    @model_validator(mode="after")
    def _losses_go_together(self) -> "Variant":
        if len(set(self.losses)) < len(self.losses):
            raise ValueError(f"losses is {self.losses}, but each may stand there once")
        if "moco" in self.losses and len(self.losses) > 1:
            raise ValueError("moco trains on single frames and goes with no other loss")
        if self.moco and self.colour is not None:
            raise ValueError("colour: moco always has MoCo v2's colour augmentation")
        if self.moco and self.learning_rate is not None:
            raise ValueError(
                f"learning_rate: moco's stands among its options, moco: {{learning_rate: "
                f"{self.learning_rate:g}}}"
            )
        for loss, key in _OPTIONS.items():
            if getattr(self, key) and loss not in self.losses:
                raise ValueError(
                    f"{key}: options of {loss}, but losses is {self.losses}; leave them out, or "
                    f"name {loss} there"
                )
        if self.linear and "geo" not in self.losses:
            raise ValueError("linear: only geo has linear layers")
        return self


class SecondStage(Section):
    """Continued pretraining: every one of `variants` from every one of `starts`.

    The results are rows named START_then_VARIANT, such as view_geo_then_set (paper 001's method)
    or view_geo_then_view (its control "continue VIEW").
    """

    starts: list[Slug] = Field([], description="entries of first_stage")
    variants: list[Slug] = Field([], description="variants that go on from them")
    steps: int | None = Field(None, ge=1, description="optimiser steps; null: from `epochs`")
    epochs: int = Field(2, ge=1, description="passes over all pairs (001 section 4.2: 2)")
    learning_rate: Positive = Field(
        0.1, description="initial rate, again (001 names 0.1 once); a variant's own goes first"
    )

    def rows(self) -> dict[str, tuple[str, str]]:
        """Name of each result -> its start and its variant."""
        return {
            second_stage_row(start, variant): (start, variant)
            for start in self.starts
            for variant in self.variants
        }
