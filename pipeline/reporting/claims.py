"""The papers' directional claims as data: which cells each compares, and what it says of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from itertools import combinations, product
from typing import Literal

from pydantic import Field, model_validator

from pipeline.config import Params, TableId
from pipeline.config.section import Section, Slug
from pipeline.reporting.table_specs import Source
from pipeline.reporting.tables import fit_spec, is_second_dataset
from pipeline.yaml_file import read_yaml

#: Scores of these tasks are negative errors, so that 10 % better is 0.9 times as much.
NEGATIVE_TASKS = ("depth", "reconstruction")


@dataclass(frozen=True)
class Comparison:
    """A weighted sum of cells of which a claim says that it is positive, or near 0.

    Attributes:
        terms: weight and cell; the first is the one that should be better, the second the other.
    """

    terms: tuple[tuple[float, Source], ...]

    @property
    def words(self) -> str:
        """ "view over geo, frozen depth"."""
        (_, better), (_, other), *gain = self.terms
        part = f", {_part_words(better.part)}" if better.part or gain else ""
        over = f", over the same, {_part_words(gain[0][1].part)}" if gain else ""
        protocol = better.protocol.replace("_", "-")
        return f"{better.row} over {other.row}, {protocol} {better.task}{part}{over}"


def _part_words(part: str) -> str:
    if not part:
        return "all labels"
    return f"{part} % of the labels" if part.isdigit() else part


class Claim(Section):
    """One claim: an entry of `claims` in claims.yaml."""

    id: Slug
    title: str
    table: TableId = Field(description="that has its cells, or most of them")
    where: str = Field(description="section of the paper")
    quote: str = Field(description="the sentence, verbatim")
    derived: str = Field("", description="why it is not what the sentence says; empty if it is")
    data: list[Literal["pretraining", "second"]] = Field(
        ["pretraining"], description="finetuned on the data pretrained on, or on another dataset"
    )
    direction: Literal["better", "not_worse", "alike"] = "better"
    margin_of: str = Field(
        "", description="block of reference_tables.json; not worse or alike: within its range"
    )
    by_percent: float = Field(0, ge=0, description="better by more than this share of the other")
    protocols: list[Literal["frozen", "half_frozen", "full"]] = Field(["full"])
    tasks: list[Literal["depth", "reconstruction", "segmentation"]] = Field(["segmentation"])
    parts: list[str] = Field([""], description="shares of the labels, or networks; '' is neither")
    rows: list[Slug] = Field(min_length=1, description="each should be better ...")
    than: list[Slug] = Field([], description="... than each of these; empty: all pairs of `rows`")
    paired: bool = Field(False, description="the first than the first, the second than the second")
    gain_over: str | None = Field(
        None, description="part; the claim is that the difference is larger than it is there"
    )

    @model_validator(mode="after")
    def _margin_fits(self) -> "Claim":
        if (self.direction == "better") == bool(self.margin_of):
            raise ValueError(f"{self.id}: a margin goes with not_worse and alike, and only them")
        return self

    @property
    def place(self) -> str:
        """ "paper 000, section 4.2"."""
        return f"paper {self.table[:3]}, {self.where}"

    def comparisons(self) -> list[Comparison]:
        """All of which the claim says the same: it holds if each does."""
        return [
            self._comparison(protocol, task, part, row, other)
            for protocol, task, part in product(self.protocols, self.tasks, self.parts)
            for row, other in self._pairs()
        ]

    def _pairs(self) -> Iterator[tuple[str, str]]:
        if not self.than:
            return combinations(self.rows, 2)
        if self.paired:
            return zip(self.rows, self.than, strict=True)
        return product(self.rows, self.than)

    def _comparison(self, protocol: str, task: str, part: str, row: str, other: str) -> Comparison:
        sign = -1 if task in NEGATIVE_TASKS else 1
        share = 1 + sign * self.by_percent / 100
        terms = [
            (1.0, Source(row, protocol, task, part)),
            (-share, Source(other, protocol, task, part)),
        ]
        if self.gain_over is not None:
            terms += [
                (-1.0, Source(row, protocol, task, self.gain_over)),
                (share, Source(other, protocol, task, self.gain_over)),
            ]
        return Comparison(tuple(terms))


class LeftOut(Section):
    """A directional sentence of the papers that is not evaluated: an entry of `left_out`."""

    paper: Literal["000", "001"]
    where: str
    quote: str
    why: str


class ClaimsFile(Section):
    """claims.yaml."""

    claims: list[Claim]
    left_out: list[LeftOut]


@cache
def claims_file() -> ClaimsFile:
    """All directional claims of papers 000 and 001, in the papers' order.

    Source: papers 000 and 001; the quotes are compared with their text by a test.
    """
    with as_file(files("pipeline.reporting").joinpath("claims.yaml")) as file:
        return ClaimsFile.model_validate(read_yaml(file))


def claims_of(params: Params) -> list[Claim]:
    """Claims whose table is asked for, with a comparison whose cells all stand in asked tables.

    Rows of both papers share names, but not always a recipe: paper 001's have the depth loss. So
    one paper's table is no ground for the other's claims.
    """
    cells = {source for table in params.tables for *_, source in fit_spec(params, table).sources()}
    # A relative change needs the row that it is relative to.
    cells |= {Source(source.against, source.protocol, source.task, source.part) for source in cells}
    data = "second" if is_second_dataset(params) else "pretraining"
    return [
        claim
        for claim in claims_file().claims
        if claim.table in params.tables
        and data in claim.data
        and any(
            all(source in cells for _, source in comparison.terms)
            for comparison in claim.comparisons()
        )
    ]
