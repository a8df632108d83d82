"""Sections of params.yaml: finetuning and evaluation."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.pretraining import Compute
from pipeline.config.section import Fraction, Positive, Section, Slug

Protocol = Literal["frozen", "half_frozen", "full"]
TaskName = Literal["depth", "reconstruction", "segmentation"]
#: The only cell of some rows, and of label fractions and other networks.
SEGMENTATION_ALONE: tuple[Protocol, TaskName] = ("full", "segmentation")


class Steps(Section):
    """Optimiser steps of each protocol; null: from `epochs`."""

    frozen: int | None = Field(None, ge=1, description="of frozen; null: from `epochs`")
    half_frozen: int | None = Field(None, ge=1, description="of half_frozen, likewise")
    full: int | None = Field(None, ge=1, description="of full, likewise")

    def of(self, protocol: Protocol) -> int | None:
        """Those of a protocol; None: from epochs."""
        steps: int | None = getattr(self, protocol)
        return steps


class Finetuning(Section):
    """Finetuning on depth, reconstruction and segmentation (000 section 4.1.2; spec D.1, D.5)."""

    tasks: list[TaskName] = Field(
        ["depth", "reconstruction", "segmentation"], min_length=1, description="downstream tasks"
    )
    protocols: list[Protocol] = Field(
        ["frozen", "half_frozen", "full"], min_length=1, description="what is trained"
    )
    steps: Steps = Steps()
    epochs: int = Field(80, ge=1, description="passes over the frames (code: 80)")
    batch_images: int = Field(8, ge=1, description="images a step (code: 8)")
    learning_rate: Positive = Field(0.01, description="initial rate (code: 0.01)")
    momentum: Fraction = Field(0.9, description="SGD momentum")
    dampening: Fraction = Field(0.1, description="SGD dampening (code: 0.1)")
    weight_decay: float = Field(0.0, ge=0, description="SGD weight decay")
    poly_power: Positive = Field(0.9, description="polynomial decay")
    mlp_channels: int = Field(128, ge=1, description="hidden width of the per-pixel MLP")
    evaluations: int = Field(4, ge=1, description="validations; the last at the end of training")
    frozen_batch_norm: Literal["eval", "train"] = Field(
        "eval", description="BatchNorm of frozen parts"
    )
    batch_norm_momentum: Literal["constant", "pri3d"] = Field(
        "constant",
        description="of the running statistics: 0.1, or the code's, which starts at 0.5 and is "
        "0.001 from step 180 on (spec C.1)",
    )
    depth_max_m: Positive = Field(10.0, description="depth beyond this is ignored, metres")
    miou_counting: Literal["classes", "pri3d"] = Field(
        "classes",
        description="pri3d: one more output for `ignore`, which may be predicted without a miss, "
        "and classes that do not occur count 0 (spec D.1)",
    )
    compute: Compute = Compute()
    keep_weights: bool = Field(
        True,
        description="store the weights in models/; holds for what is finetuned from now on",
    )
    workers: int = Field(
        0,
        ge=0,
        description="processes that decode frames ahead, and as many more while it validates; "
        "0: the training's own process, with nothing ahead",
    )


class LabelFractions(Section):
    """Segmentation, finetuned in full on a part of the labels (paper 001 Table 2; spec D.1)."""

    rows: list[Slug] = Field([], description="of all rows, those that are finetuned so")
    percents: list[Annotated[int, Field(ge=1, le=99)]] = Field(
        [20, 40, 60, 80], description="share of the labelled training frames; 100 is a row's own"
    )
    by: Literal["scene", "image"] = Field(
        "scene", description="draw whole scenes until the share of frames fits (code), or frames"
    )


NetworkName = Literal["deeplabv3", "deeplabv3plus", "pspnet"]


class Networks(Section):
    """Segmentation with other networks on pretrained encoders (001 Table 3; spec D.2, D.3)."""

    rows: list[Slug] = Field([], description="of all rows, those whose encoders are used")
    names: list[NetworkName] = Field(
        ["deeplabv3", "deeplabv3plus", "pspnet"], description="the networks"
    )
    width: int = Field(
        256, ge=8, description="channels of DeepLab's heads (published: 256; PSPNet's: twice it)"
    )
    steps: int | None = Field(
        None, ge=1, description="optimiser steps; null: DeepLab 50,000, PSPNet 50 epochs (code)"
    )
    batch_images: int = Field(16, ge=2, description="images a step (code: 16)")
    learning_rate: Positive = Field(
        0.01,
        description="initial rate (code: 0.01); 0.1 times it in DeepLab's encoder, 10 times it in "
        "PSPNet's other layers (code)",
    )
    momentum: Fraction = Field(0.9, description="SGD momentum")
    weight_decay: float = Field(0.0001, ge=0, description="SGD weight decay (code: 0.0001)")
    poly_power: Positive = Field(0.9, description="polynomial decay")
    augmentation: bool = Field(True, description="random flip and blur (code)")
