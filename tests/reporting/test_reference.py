"""The published numbers, against the papers as printed."""

import pytest

from pipeline.reporting.reference import reference_tables


def test_all_published_numbers_are_there() -> None:
    values = [
        value for table in reference_tables().values() for row in table.values for value in row
    ]
    # One cell of paper 001's Table 1 is empty.
    assert sum(value is not None for value in values) == 357
    assert sum(value is None for value in values) == 1


@pytest.mark.parametrize("table", reference_tables().values(), ids=lambda table: table.table_id)
def test_tables_are_rectangular(table) -> None:
    assert len(table.values) == len(table.rows)
    assert {len(row) for row in table.values} == {len(table.columns)}


@pytest.mark.parametrize(
    ("table", "row", "column", "value"),
    [
        ("000.t1.frozen", "VIEW", "ScanNet depth", -35.73),
        ("000.t1.frozen", "GEO", "ScanNet recon", -106.73),
        ("000.t1.half", "VIEW+GEO (lin)", "ScanNet mIoU", 58.12),
        ("000.t1.full", "VIEW+GEO", "NYUv2 depth", -36.63),
    ],
)
def test_values_as_printed(table: str, row: str, column: str, value: float) -> None:
    assert reference_tables()[table].value(row, column) == value


def test_rows_the_paper_does_not_have() -> None:
    assert reference_tables()["000.t1.full"].value("no pretraining", "ScanNet depth") is None


def test_unknown_column() -> None:
    with pytest.raises(KeyError, match="ScanNet depth"):
        reference_tables()["000.t1.full"].value("VIEW", "KITTI depth")
