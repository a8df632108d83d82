"""The papers' tables as data: which run stands in which cell.

The one place where the papers' labels meet the names of rows in params.yaml ("slugs"). Papers'
numbers are not here but in reference_tables.json, whose labels are used.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pipeline.config.pretraining import THEN
from pipeline.reporting.results import MEAN_PREDICTOR

#: Of paper 000's columns: the dataset of its pretraining, and the other indoor one.
_PRETRAINED_ON, _SECOND = "ScanNet", "NYUv2"


@dataclass(frozen=True)
class Source:
    """What a cell is measured with.

    Attributes:
        row: one of `rows` in params.yaml, or MEAN_PREDICTOR.
        protocol: frozen, half_frozen or full.
        task: depth, reconstruction or segmentation.
        part: percentage of the labels, or network; "" for neither.
        against: row that the cell is a relative change against; "" for none.
    """

    row: str
    protocol: str
    task: str
    part: str = ""
    against: str = ""


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        label: as the paper prints it.
        row: slug.
        part: network of this line.
        against: see `Source`.
    """

    label: str
    row: str
    part: str = ""
    against: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        label: as reference_tables.json has it.
        title: as printed here.
        task: measured.
        part: percentage of the labels.
        start: what the column adds to the slug of a first stage.
        end: what it adds to the slug.
    """

    label: str
    title: str = ""
    task: str = "segmentation"
    part: str = ""
    start: str = ""
    end: str = ""

    def slug(self, row: str) -> str:
        """Slug of a line in this column: view_geo_r18_then_set of view_geo_then_set and _r18."""
        first, then, second = row.partition(THEN)
        return f"{first}{self.start}{then}{second}{self.end}"


@dataclass(frozen=True)
class Block:
    """Lines of one protocol.

    Attributes:
        reference: id in reference_tables.json.
        title: in words.
        protocol: what is trained.
        rows: lines, top to bottom.
    """

    reference: str
    title: str
    protocol: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class TableSpec:
    """A table of a paper.

    Attributes:
        table: its id in params.yaml.
        name: of its files.
        title: as its heading.
        blocks: top to bottom.
        columns: left to right.
        on_second_dataset: the networks were pretrained on another dataset.
        takes_others: rows of params.yaml that no table has stand at the end of each block.
    """

    table: str
    name: str
    title: str
    blocks: tuple[Block, ...]
    columns: tuple[Column, ...]
    on_second_dataset: bool = False
    takes_others: bool = False

    def sources(self) -> Iterator[tuple[Block, Row, Column, Source]]:
        """All cells, line by line."""
        for block in self.blocks:
            for row in block.rows:
                for column in self.columns:
                    yield block, row, column, source_of(block, row, column)

    def on_second(self) -> "TableSpec":
        """The same with the published columns of the dataset that was not pretrained on.

        Paper 000 prints its two datasets side by side, and TABLES names the columns of the first;
        paper 001 has tables of their own.
        """
        if not self.table.startswith("000"):
            return self
        columns = (
            replace(column, label=column.label.replace(_PRETRAINED_ON, _SECOND))
            for column in self.columns
        )
        return replace(self, columns=tuple(columns))


def source_of(block: Block, row: Row, column: Column) -> Source:
    """What the cell of a line and a column is measured with."""
    return Source(
        row=column.slug(row.row),
        protocol=block.protocol,
        task=column.task,
        part=row.part or column.part,
        against=column.slug(row.against) if row.against else "",
    )


def _rows(*pairs: tuple[str, str]) -> tuple[Row, ...]:
    return tuple(Row(label, slug) for label, slug in pairs)


OURS = "view_geo_then_set"

_TABLE_1 = _rows(
    ("no pretraining", "none"),
    ("mean predictor", MEAN_PREDICTOR),
    ("VIEW", "view"),
    ("GEO", "geo"),
    ("VIEW+GEO", "view_geo"),
    ("VIEW+GEO (lin)", "view_geo_lin"),
)
#: Paper's label, slug, and slug of the same without the depth loss.
_WITH_DEPTH = (
    ("GEO+d (lin)", "geo_lin_d", "geo_lin"),
    ("VIEW+d", "view_d", "view"),
    ("VIEW+GEO+d", "view_geo_d", "view_geo"),
    ("VIEW+GEO+d (lin)", "view_geo_lin_d", "view_geo_lin"),
)
_LEARNING_RATES = _rows(
    ("VIEW+GEO+d (lin)", "view_geo_lin_d"), ("VIEW+GEO+d (lin, lr001)", "view_geo_lin_d_lr001")
)
_BASELINES = (("From Scratch", "none"), ("ImageNet Pre-training", "imagenet"), ("MoCoV2", "moco"))
_PRI3D = (("Pri3D(View)", "view"), ("Pri3D(Geo)", "geo"), ("Pri3D(View + Geo)", "view_geo"))
_NETWORKS = (("DeepLabV3", "deeplabv3"), ("DeepLabV3+", "deeplabv3plus"), ("PSPNet", "pspnet"))
_ENCODERS = (("ImageNet", "imagenet"), ("Pri3D", "view_geo"), ("Ours", OURS))

_ALL_TASKS = (
    Column("ScanNet depth", "depth", task="depth"),
    Column("ScanNet recon", "reconstruction", task="reconstruction"),
    Column("ScanNet mIoU", "segmentation"),
)
_MIOU = (Column("ScanNet mIoU", "segmentation"),)
_RESNET50 = (Column("ResNet50"),)


def _segmentation(
    table: str,
    name: str,
    title: str,
    rows: tuple[Row, ...],
    columns: tuple[Column, ...] = _RESNET50,
    on_second_dataset: bool = False,
) -> TableSpec:
    """A table of paper 001: segmentation, finetuned in full."""
    blocks = (Block(table, "full", "full", rows),)
    columns = tuple(replace(column, title=column.label) for column in columns)
    return TableSpec(table, name, title, blocks, columns, on_second_dataset)


#: Key of `tables` in params.yaml -> table.
TABLES = {
    spec.table: spec
    for spec in (
        TableSpec(
            "000.t1",
            "000_table1",
            "Paper 000, Table 1",
            (
                Block("000.t1.frozen", "frozen", "frozen", _TABLE_1),
                Block("000.t1.half", "half-frozen", "half_frozen", _TABLE_1),
                Block("000.t1.full", "full", "full", _TABLE_1),
            ),
            _ALL_TASKS,
            takes_others=True,
        ),
        TableSpec(
            "000.s1",
            "000_supplement1",
            "Paper 000, supplement, Table 1: with the depth proxy loss",
            (
                Block("000.s1", "full", "full", _rows(*(each[:2] for each in _WITH_DEPTH))),
                Block(
                    "000.s1.rel",
                    "full: change by +d, %",
                    "full",
                    tuple(Row(label, slug, against=base) for label, slug, base in _WITH_DEPTH),
                ),
            ),
            _MIOU,
        ),
        TableSpec(
            "000.s2",
            "000_supplement2",
            "Paper 000, supplement, Table 2: learning rates of pretraining",
            (Block("000.s2", "full", "full", _LEARNING_RATES),),
            _MIOU,
        ),
        _segmentation(
            "001.t1",
            "001_table1",
            "Paper 001, Table 1: segmentation",
            _rows(*_BASELINES, ("Depth Prediction", "depth"), *_PRI3D, ("Ours", OURS)),
            (Column("ResNet50"), Column("ResNet18", start="_r18")),
        ),
        _segmentation(
            "001.t2",
            "001_table2",
            "Paper 001, Table 2: segmentation on a part of the labels",
            _rows(("Pri3d(View + Geo)", "view_geo"), ("Ours", OURS)),
            (*(Column(f"{part}%", part=part) for part in ("20", "40", "60", "80")), Column("100%")),
        ),
        _segmentation(
            "001.t3",
            "001_table3",
            "Paper 001, Table 3: segmentation with other networks",
            tuple(
                Row(f"{network}({encoder})", slug, part)
                for network, part in _NETWORKS
                for encoder, slug in _ENCODERS
            ),
        ),
        _segmentation(
            "001.t6",
            "001_table6",
            "Paper 001, Table 6: segmentation on a second dataset",
            _rows(
                *_BASELINES,
                *((label, f"{slug}_lr001") for label, slug in _PRI3D),
                ("Ours", f"view_geo_lr001{THEN}set_lr001"),
            ),
            on_second_dataset=True,
        ),
        _segmentation(
            "001.t9",
            "001_table9",
            "Paper 001, Table 9: k of the sets",
            _rows(("Ours", OURS)),
            tuple(Column(f"0.0{digit}", end=f"_k0{digit}") for digit in range(1, 6)),
        ),
        _segmentation(
            "001.t10",
            "001_table10",
            "Paper 001, Table 10: continued pretraining",
            _rows(
                ("Pri3D Original", "view_geo"),
                ("Pri3D Continue(View)", f"view_geo{THEN}view"),
                ("Pri3D Continue(Geo)", f"view_geo{THEN}geo"),
                ("Pri3D Continue(View + Geo)", f"view_geo{THEN}view_geo"),
                ("Ours", OURS),
            ),
        ),
        _segmentation(
            "001.text",
            "001_text",
            "Paper 001, section 5.2: ablations of the sets",
            _rows(
                ("Asymmetric aggregation", f"{OURS}_asymmetric"),
                ("GT semantic sets", f"{OURS}_labels"),
            ),
        ),
    )
}
