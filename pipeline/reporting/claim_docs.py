"""docs/claims.md, generated from claims.yaml."""

from collections.abc import Iterator

from pipeline.reporting.claims import Claim, claims_file
from pipeline.reporting.markdown import markdown_table
from pipeline.reporting.paper_effects import margin, paper_effect

_DATA = {"pretraining": "the data pretrained on", "second": "a second dataset"}


def claims_markdown() -> str:
    """The page: every claim with its sentence, its comparisons and the paper's own numbers."""
    entries = claims_file()
    left_out = [
        f'- "{each.quote}" (paper {each.paper}, {each.where}): {each.why}.'
        for each in entries.left_out
    ]
    parts = [
        "# The directional claims of papers 000 and 001",
        "Made by `python -m pipeline write-docs` from `pipeline/reporting/claims.yaml`. "
        "[reproduction.md](reproduction.md#claims) says how they are put to the test. Rows have "
        "the names that params.yaml gives them. PUBLISHED is the difference of the paper's own "
        "numbers, in the unit of the scores: mIoU in %, or -100 x mean squared error.",
        *(part for claim in entries.claims for part in _section(claim)),
        "## Sentences that are not evaluated",
        "\n".join(left_out),
    ]
    return "\n\n".join(parts) + "\n"


def _section(claim: Claim) -> Iterator[str]:
    yield f"## {claim.title}"
    direction = claim.direction.replace("_", " ")
    facts = [f"`{claim.id}`, {claim.place}, table {claim.table}"]
    if claim.margin_of:
        block = claim.margin_of
        facts.append(f"{direction}, within {margin(claim):.2g}: the range of {block}'s numbers")
    if claim.derived:
        facts.append(f"**derived**: {claim.derived}")
    yield f'"{claim.quote}" ({"; ".join(facts)})'
    header = ["comparison", *(f"PUBLISHED, {_DATA[data]}" for data in claim.data)]
    rows = []
    for comparison in claim.comparisons():
        effects = [paper_effect(claim, comparison, data == "second") for data in claim.data]
        rows.append(
            [comparison.words, *("-" if each is None else f"{each:+.2f}" for each in effects)]
        )
    yield markdown_table(header, rows, 1)
