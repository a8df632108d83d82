"""What the papers' own numbers say about their claims: computed from reference_tables.json."""

from collections.abc import Iterator

from pipeline.reporting.claims import Claim, Comparison
from pipeline.reporting.reference import reference_tables
from pipeline.reporting.table_specs import TABLES, Source, TableSpec


def paper_effect(claim: Claim, comparison: Comparison, on_second: bool) -> float | None:
    """The comparison's weighted sum of published numbers, one run each.

    Args:
        claim: Whose paper and table are looked into first.
        comparison: One of its comparisons.
        on_second: The dataset that was not pretrained on.

    Returns:
        In the unit of the scores; None where the paper prints one of the numbers nowhere.
    """
    total = 0.0
    for weight, source in comparison.terms:
        value = published_score(claim.table, source, on_second)
        if value is None:
            return None
        total += weight * value
    return total


def published_score(table: str, source: Source, on_second: bool) -> float | None:
    """Number of a cell in a table, or in the first other table of that paper that has it.

    Paper 000 prints no GEO (lin), but the change of GEO+d (lin) relative to it, of which it follows
    (to 0.05 %, as printed).
    """
    specs = [TABLES[table], *(spec for name, spec in TABLES.items() if name != table)]
    specs = [spec for spec in specs if spec.table[:3] == table[:3]]
    relative = None
    for spec in specs:
        for cell, is_base, value in _published(spec, on_second):
            if cell == source:
                if not is_base:
                    return value
                relative = value
    return relative


def _published(spec: TableSpec, on_second: bool) -> Iterator[tuple[Source, bool, float]]:
    """Cells with a number; True: what a cell with a relative change is relative to."""
    is_of_both = spec.table.startswith("000")
    if not is_of_both and spec.on_second_dataset != on_second:
        return
    absolute: dict[Source, float] = {}
    for block, row, column, source in (spec.on_second() if on_second else spec).sources():
        value = reference_tables()[block.reference].value(row.label, column.label)
        if value is None:
            continue
        plain = Source(source.row, source.protocol, source.task, source.part)
        if not source.against:
            absolute[plain] = value
            yield plain, False, value
        elif plain in absolute:
            base = Source(source.against, source.protocol, source.task, source.part)
            yield base, True, absolute[plain] / (1 + value / 100)


def margin(claim: Claim) -> float:
    """Range of the block of published numbers that `margin_of` names; 0 without one.

    Paper 001 gives no repetitions. Its Table 9 is the closest to one: five trainings that it calls
    equal, so what lies within their range is, by its own measure, alike.
    """
    if not claim.margin_of:
        return 0.0
    block = reference_tables()[claim.margin_of]
    numbers = [value for row in block.values for value in row if value is not None]
    return max(numbers) - min(numbers)
