"""Evaluated claims as csv, Markdown and LaTeX."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from pipeline import layout
from pipeline.config import Params
from pipeline.reporting.claims import Comparison
from pipeline.reporting.grid import EMPTY
from pipeline.reporting.latex import escape
from pipeline.reporting.markdown import markdown_table
from pipeline.reporting.tables import FORMATS, results_hash
from pipeline.reporting.verdicts import MIN_SCENES, MIN_SEEDS, EvaluatedClaim, Outcome, Verdict

COLUMNS = (
    *("claim", "title", "place", "derived", "direction", "margin", "claim_verdict", "comparison"),
    *("cells", "which", "verdict", "effect", "low", "high", "confidence", "n_seeds", "n_scenes"),
    *("pooled_effect", "paper_effect", "missing", "dataset", "params"),
)
#: Where the part begins that `print-tables` leaves out.
QUOTES = "## What the papers say"

_SUMMARY_HEADER = ("claim", "place", "comparisons that hold", "verdict", "at the end of training")
_DETAIL_HEADER = (
    *("claim", "comparison", "measured", "seeds x scenes", "in the tables", "PUBLISHED"),
    "verdict",
)


def claim_files(dataset: str) -> dict[str, Path]:
    """What `make-tables` writes on the claims: format -> path."""
    return {suffix: layout.tables_dir(dataset) / f"claims.{suffix}" for suffix in FORMATS}


def explanation(params: Params) -> list[str]:
    """Sentences on what the numbers and verdicts mean."""
    percent = f"{100 * params.claims.confidence:g} %"
    return [
        f"Measured on {params.dataset.name} with seeds {', '.join(map(str, params.seeds))}; the "
        "captions of the tables say data, scale and start. Rows have the names that params.yaml "
        f"gives them. Params: {results_hash(params)}.",
        "Measured: mean over seeds and validation scenes of the paired difference of two scores, "
        "in the tables' units, every scene with the same weight, and in brackets its "
        f"{percent} interval from {params.claims.resamples:,} resamples of seeds and scenes. The "
        "column `in the tables` has the difference of their cells, which pool all pixels.",
        "A comparison holds if the whole interval is on the side that the paper claims (for "
        "`alike` and `not worse`: within the margin), does not hold if none of it is, and is "
        f"undecided otherwise, and always with fewer than {MIN_SEEDS} seeds or {MIN_SCENES} "
        "scenes. A claim holds if all its comparisons do, and does not if one does not: the error "
        "of `does not hold` grows with their number.",
        "The margin is absolute, in the paper's units: the range of its Table 9, which lies at "
        "about 63 % mIoU. At another scale of scores the same margin is a loose or a strict bound.",
        "PUBLISHED: the same difference of the paper's numbers, one run each, other data at "
        "another scale: its sign compares, not its size.",
    ]


def to_csv(evaluated: Sequence[EvaluatedClaim], params: Params) -> str:
    """Tidy csv: one line per comparison and kind of score, full precision.

    Args:
        evaluated: Claims, of "best" and "last" scores.
        params: The run's params.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    common = {
        "confidence": params.claims.confidence,
        "dataset": params.dataset.name,
        "params": results_hash(params),
    }
    for each in evaluated:
        claim = each.claim
        of_claim = {
            "claim": claim.id,
            "title": claim.title,
            "place": claim.place,
            "derived": claim.derived,
            "direction": claim.direction,
            "margin": each.margin,
            "claim_verdict": each.verdict,
            "which": each.which,
        }
        for outcome in each.outcomes:
            low, high = outcome.interval or (None, None)
            of_outcome = {
                "comparison": outcome.comparison.words,
                "cells": _cells(outcome.comparison),
                "verdict": outcome.verdict,
                "effect": outcome.effect,
                "low": low,
                "high": high,
                "n_seeds": outcome.n_seeds,
                "n_scenes": outcome.n_scenes,
                "pooled_effect": outcome.pooled,
                "paper_effect": outcome.paper_effect,
                "missing": "; ".join(outcome.missing),
            }
            writer.writerow(common | of_claim | of_outcome)
    return text.getvalue()


def _cells(comparison: Comparison) -> str:
    """ "+1 view/frozen/depth; -1 geo/frozen/depth"; a part stands at the end."""
    return "; ".join(
        f"{weight:+g} {'/'.join(filter(None, (cell.row, cell.protocol, cell.task, cell.part)))}"
        for weight, cell in comparison.terms
    )


def to_markdown(
    best: Sequence[EvaluatedClaim], last: Sequence[EvaluatedClaim], params: Params
) -> str:
    """The page, with the best scores' comparisons.

    Args:
        best: Claims, of the best validation scores.
        last: The same of the last scores.
        params: The run's params.
    """
    quotes = [
        f"- **{each.claim.title}** ({each.claim.place}"
        + (f"; derived: {each.claim.derived}" if each.claim.derived else "")
        + f'): "{each.claim.quote}"'
        for each in best
    ]
    title = f"# Claims of the papers, measured on {params.dataset.name}"
    if not best:
        return f"{title}\n\nNo claim compares cells of these tables alone.\n"
    parts = [
        title,
        "\n".join(f"- {line}" for line in explanation(params)),
        "## Verdicts",
        markdown_table(_SUMMARY_HEADER, _summary(best, last), 2),
        "## Comparisons",
        markdown_table(_DETAIL_HEADER, _details(best), 2),
        QUOTES,
        "\n".join(quotes),
    ]
    return "\n\n".join(parts) + "\n"


def to_latex(best: Sequence[EvaluatedClaim], last: Sequence[EvaluatedClaim], params: Params) -> str:
    """Two long tables, to be \\input; they need booktabs and longtable. Args as `to_markdown`."""
    title = f"Claims of the papers, measured on {params.dataset.name}."
    caption = " ".join([title, *explanation(params)])
    return "\n".join(
        [
            "% Made by `python -m pipeline make-tables`. Preamble: "
            r"\usepackage{booktabs,longtable}",
            *_longtable(
                "claims", caption, "p{0.34\\textwidth}lrll", _SUMMARY_HEADER, _summary(best, last)
            ),
            *_longtable(
                "comparisons",
                "Comparisons of the claims; see the table before.",
                "p{0.2\\textwidth}p{0.3\\textwidth}rrrrl",
                _DETAIL_HEADER,
                _details(best),
            ),
            "",
        ]
    )


def _longtable(
    label: str, caption: str, columns: str, header: Sequence[str], rows: Sequence[Sequence[str]]
) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return " & ".join(map(escape, cells)) + r" \\"

    return [
        r"{\footnotesize",
        rf"\begin{{longtable}}{{{columns}}}",
        rf"\caption{{{escape(caption)}}}\label{{tab:{label}}}\\",
        r"\toprule",
        line(header),
        r"\midrule",
        r"\endhead",
        *map(line, rows),
        r"\bottomrule",
        r"\end{longtable}",
        "}",
    ]


def _summary(
    best: Sequence[EvaluatedClaim], last: Sequence[EvaluatedClaim]
) -> list[tuple[str, ...]]:
    return [
        (
            each.claim.title + (" (derived)" if each.claim.derived else ""),
            each.claim.place,
            f"{sum(outcome.verdict == Verdict.HOLDS for outcome in each.outcomes)} of "
            f"{len(each.outcomes)}",
            each.verdict,
            at_end.verdict,
        )
        for each, at_end in zip(best, last, strict=True)
    ]


def _details(evaluated: Sequence[EvaluatedClaim]) -> list[tuple[str, ...]]:
    return [
        (
            _with_margin(each) if i == 0 else "",
            outcome.comparison.words,
            _measured(outcome),
            f"{outcome.n_seeds} x {outcome.n_scenes}",
            _number(outcome.pooled),
            _number(outcome.paper_effect),
            outcome.verdict,
        )
        for each in evaluated
        for i, outcome in enumerate(each.outcomes)
    ]


def _number(value: float | None) -> str:
    return EMPTY if value is None else f"{value:+.2f}"


def _with_margin(each: EvaluatedClaim) -> str:
    direction = each.claim.direction.replace("_", " ")
    return each.claim.title + (f" ({direction}, margin {each.margin:.2g})" if each.margin else "")


def _measured(outcome: Outcome) -> str:
    """ "+1.20 [-0.30, +2.70]", and why there is no number, or of which seeds."""
    parts = []
    if outcome.effect is not None:
        parts.append(f"{outcome.effect:+.2f}")
    if outcome.interval is not None:
        parts.append("[{:+.2f}, {:+.2f}]".format(*outcome.interval))
    if outcome.missing:
        missing = "; ".join(outcome.missing)
        parts.append(f"({missing})" if parts else missing)
    return " ".join(parts)
