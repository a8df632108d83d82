"""The model of params.yaml: the only knobs of the pipeline, with units and sources.

docs/params.schema.json is generated from here.
"""

import hashlib
import json
from collections.abc import Sequence
from itertools import product
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, model_validator

from pipeline.config.data import Dataset, Labelled, Rooms
from pipeline.config.finetuning import (
    SEGMENTATION_ALONE,
    Finetuning,
    LabelFractions,
    Networks,
    Protocol,
    TaskName,
)
from pipeline.config.geometry import Geometry
from pipeline.config.model import Model
from pipeline.config.pretraining import THEN, Pretraining, SecondStage, Variant
from pipeline.config.section import Section, Slug

#: Keys of the trainings that change no result, but for rounding: time, memory, what is stored.
OF_NO_RESULT = (
    "pretraining.compute.compile",
    "pretraining.compute.channels_last",
    "pretraining.checkpoint_every",
    "pretraining.workers",
    "finetuning.compute.compile",
    "finetuning.compute.channels_last",
    "finetuning.keep_weights",
    "finetuning.workers",
)

Changed = TypeVar("Changed", bound=Section)


#: Tables of papers 000 and 001 that can be made, by their ids in reference_tables.json.
TableId = Literal[
    "000.t1", "000.s1", "000.s2",
    "001.t1", "001.t2", "001.t3", "001.t6", "001.t9", "001.t10", "001.text",
]  # fmt: skip


class Claims(Section):
    """Evaluation of the papers' directional claims."""

    resamples: int = Field(10_000, ge=100, description="bootstrap resamples of seeds and scenes")
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = Field(
        0.95, description="a claim holds, or does not, if this interval excludes 0"
    )


class Params(Section):
    """params.yaml."""

    seeds: list[int] = Field(
        [0, 1],
        min_length=1,
        description="each varies initial weights, sampling and order of pretraining and finetuning",
    )
    dataset: Dataset
    labelled: Labelled
    rooms: Rooms | None = Field(None, description="embedded rooms to make; null for real data")
    geometry: Geometry = Geometry()
    model: Model = Model()
    pretraining: Pretraining = Pretraining()
    variants: dict[Slug, Variant] = Field(description="ways to pretrain")
    first_stage: list[Slug] = Field(description="variants that are pretrained from the start")
    second_stage: SecondStage = SecondStage()
    pretrained_on: Slug = Field(
        description="dataset.name, or that of another params file, run before, whose pretrained "
        "networks are finetuned on this dataset (001 Table 6)"
    )
    rows: list[Slug] = Field(
        description="rows of the tables that are finetuned on all of finetuning.tasks with all of "
        "its protocols: pretrained networks of first_stage or second_stage (START_then_VARIANT)",
    )
    segmentation_rows: list[Slug] = Field(
        [],
        description="the other rows of the tables: networks that are finetuned in full on "
        "segmentation alone",
    )
    finetuning: Finetuning = Finetuning()
    label_fractions: LabelFractions = LabelFractions()
    networks: Networks = Networks()
    tables: list[TableId] = Field(
        ["000.t1"], description="tables to make (docs/reproduction.md, Tables)"
    )
    claims: Claims = Claims()

    @model_validator(mode="after")
    def _names_stand_once(self) -> "Params":
        lists: dict[str, Sequence[object]] = {
            "seeds": self.seeds,
            "first_stage": self.first_stage,
            "second_stage.starts": self.second_stage.starts,
            "second_stage.variants": self.second_stage.variants,
            "rows": self.rows,
            "segmentation_rows": self.segmentation_rows,
            "rows with segmentation_rows": self.all_rows,
            "label_fractions.rows": self.label_fractions.rows,
            "label_fractions.percents": self.label_fractions.percents,
            "networks.rows": self.networks.rows,
            "networks.names": self.networks.names,
            "tables": self.tables,
        }
        for key, names in lists.items():
            if len(set(names)) < len(names):
                raise ValueError(f"{key} is {names}, but each may stand there once")
        return self

    @model_validator(mode="after")
    def _there_is_a_row(self) -> "Params":
        if not self.all_rows:
            raise ValueError("rows and segmentation_rows are both empty: nothing to finetune")
        return self

    @model_validator(mode="after")
    def _names_tell_the_stage(self) -> "Params":
        if taken := [name for name in self.variants if THEN in name]:
            raise ValueError(f"variants {taken}: {THEN} is kept for the rows of second_stage")
        return self

    @model_validator(mode="after")
    def _names_are_known(self) -> "Params":
        second = self.second_stage
        defined, pretrained = list(self.variants), [*self.first_stage, *second.rows()]
        if self.pretrained_on != self.dataset.name:
            pretrained = [*self.all_rows, *second.starts]  # what the other params file has made
            if self.first_stage or second.starts:
                raise ValueError(
                    f"pretrained_on is {self.pretrained_on}, so its own params file pretrains: "
                    "first_stage and second_stage.starts must be []; for this one's own set it to "
                    f"{self.dataset.name}"
                )
        for key, names, known in (
            ("first_stage", self.first_stage, defined),
            ("second_stage.variants", second.variants, defined),
            ("second_stage.starts", second.starts, self.first_stage),
            ("rows", self.rows, pretrained),
            ("segmentation_rows", self.segmentation_rows, pretrained),
            ("label_fractions.rows", self.label_fractions.rows, self.all_rows),
            ("networks.rows", self.networks.rows, self.all_rows),
        ):
            if unknown := [name for name in names if name not in known]:
                raise ValueError(f"{key} has {unknown}, but may name: {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _nothing_is_trained_for_nothing(self) -> "Params":
        used = {*self.all_rows, *self.second_stage.starts}
        if unused := [name for name in self.first_stage if name not in used]:
            raise ValueError(
                f"first_stage has {unused}, which nothing uses: neither rows, nor "
                "segmentation_rows, nor second_stage.starts"
            )
        return self

    @model_validator(mode="after")
    def _losses_fit_the_stage(self) -> "Params":
        for name in self.first_stage:
            if "set" in self.variants[name].losses:
                raise ValueError(
                    f"first_stage has {name}, whose losses name set: sets are contrasted in the "
                    "second stage; second_stage.starts may be a variant without losses"
                )
        for row, (start, name) in self.second_stage.rows().items():
            variant = self.variants[name]
            if not variant.losses or "moco" in variant.losses:
                raise ValueError(
                    f"second_stage.variants has {name}, whose losses are {variant.losses}: a "
                    "second stage goes on with losses on frame pairs"
                )
            encoder = self.variants[start].encoder or self.model.encoder
            if variant.encoder not in (None, encoder):
                raise ValueError(
                    f"{row}: the networks are those of the start, whose encoder is {encoder}, but "
                    f"variants.{name}.encoder is {variant.encoder}"
                )
        return self

    @model_validator(mode="after")
    def _sets_are_made(self) -> "Params":
        made = self.geometry.oversegmentation.k
        for name in self.second_stage.variants:
            sets = self.variants[name].sets
            if sets and sets.source != "labels" and sets.source not in made:
                raise ValueError(
                    f"variant {name} contrasts sets of k {sets.source:g}, which "
                    f"geometry.oversegmentation.k {made} does not make"
                )
        return self

    @model_validator(mode="after")
    def _moco_can_train(self) -> "Params":
        parts = self.pretraining.accumulation
        for name in self.first_stage:
            if (moco := self.variants[name].moco) is None:
                continue
            images, left = divmod(moco.batch_images, parts)
            if left or images % moco.bn_images or images < 2 * moco.bn_images:
                raise ValueError(
                    f"variants.{name}.moco.batch_images ({moco.batch_images}) in {parts} part(s) "
                    "(pretraining.accumulation) must make two or more groups of bn_images "
                    f"({moco.bn_images}) of each, between which keys are shuffled"
                )
        return self

    @model_validator(mode="after")
    def _checkpoints_are_given(self) -> "Params":
        """A row without losses may lack its checkpoint: the tables say so. No training can."""
        trained = [name for name in self.first_stage if self.variants[name].losses]
        for name in dict.fromkeys([*trained, *self.second_stage.starts]):
            model = self.for_row(name).model
            if model.init == "checkpoint" and model.init_checkpoint is None:
                raise ValueError(
                    f"variant {name} starts from a checkpoint: name its file in "
                    f"model.init_checkpoint or variants.{name}.init_checkpoint"
                )
        return self

    @model_validator(mode="after")
    def _held_out_frames_are_not_pretrained_on(self) -> "Params":
        if self.dataset.pretrain_split == "train" and self.labelled.validation_frames:
            raise ValueError(
                "dataset.pretrain_split: train leaves out whole scenes, so it cannot go with "
                "labelled.validation_frames, which hold out frames of scenes that are trained on"
            )
        return self

    @property
    def all_rows(self) -> list[str]:
        """Rows of the tables, however they are finetuned."""
        return [*self.rows, *self.segmentation_rows]

    def cells(self, row: str) -> list[tuple[Protocol, TaskName]]:
        """Protocol and task of all that a row is finetuned for with all labels."""
        if row in self.segmentation_rows:
            return [SEGMENTATION_ALONE]
        return list(product(self.finetuning.protocols, self.finetuning.tasks))

    def variant(self, row: str) -> Variant:
        """Definition of a row: its variant, for a second stage with its start's encoder.

        Raises:
            KeyError: there is no such row.
        """
        start, _, name = row.rpartition(THEN)
        definition = self.variants[name if start else row]
        if start and definition.encoder is None:
            return definition.model_copy(update={"encoder": self.variants[start].encoder})
        return definition

    def for_row(self, row: str) -> "Params":
        """These params with what a row's variant and stage say otherwise in their place.

        Raises:
            KeyError: there is no such row.
        """
        variant, section, second = self.variant(row), self.pretraining, self.second_stage
        changes: dict[str, Any] = {}
        if THEN in row:
            changes = second.model_dump(include={"steps", "epochs", "learning_rate"})
        if variant.learning_rate is not None:
            changes["learning_rate"] = variant.learning_rate
        changes["augmentation"] = _changed(section.augmentation, colour=variant.colour)
        # A file of its own is there to be used.
        init = variant.init or ("checkpoint" if variant.init_checkpoint else None)
        model = _changed(
            self.model,
            encoder=variant.encoder,
            init=init,
            init_checkpoint=variant.init_checkpoint,
        )
        pretraining = section.model_copy(update=changes)
        return self.model_copy(update={"model": model, "pretraining": pretraining})

    def values(self, *keys: str) -> dict[str, Any]:
        """Plain values of dotted keys, e.g. `geometry.matching`.

        Raises:
            KeyError: there is no such key.
        """
        values = {}
        for key in keys:
            value: Any = self.model_dump(mode="json")
            for part in key.split("."):
                value = value[part]
            values[key] = value
        return values

    def section_hash(self, *sections: str) -> str:
        """First 12 hex digits of the sha256 of the named sections (all, if none is named)."""
        content = self.model_dump(mode="json", include=set(sections) or None)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _changed(section: Changed, **values: Any) -> Changed:
    """The section with those values that are not None."""
    given = {key: value for key, value in values.items() if value is not None}
    return section.model_copy(update=given)
