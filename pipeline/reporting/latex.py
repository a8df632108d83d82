"""Result tables as LaTeX: one file a table, to be \\input; it needs booktabs."""

import unicodedata
from collections.abc import Sequence

from pipeline.config import Params
from pipeline.reporting.captions import BEST, LAST, caption
from pipeline.reporting.grid import EMPTY, Grid, Line, published_text, score_grid
from pipeline.reporting.results import Cell, Results
from pipeline.reporting.table_specs import TABLES
from pipeline.reporting.tables import TableRecord

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "`": "'",
    "±": r"\(\pm\)",
    "²": r"\textsuperscript{2}",
    "×": r"\(\times\)",
    **{character: f"\\{character}" for character in "&%$#_"},
}


def escape(text: str) -> str:
    """Text as LaTeX prints it with any engine; a character that it may not know becomes ASCII."""
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isascii():
        return character if character.isprintable() else " "
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return "".join(_ESCAPES.get(each, each) for each in plain) or "?"


def format_cell(cell: Cell) -> str:
    """ "$-12.34 \\pm 0.56$ (2)", with n in brackets; or why there is no value, in italics."""
    if cell.mean is None:
        return rf"\textit{{{escape('; '.join(sorted(set(cell.missing.values()))))}}}"
    spread = rf" \pm {cell.std:.2f}" if cell.std is not None else ""
    lost = f"; {len(cell.missing)} missing" if cell.missing else ""
    return f"${cell.mean:.2f}{spread}$ ({len(cell.values)}{lost})"


def _published(record: TableRecord) -> str:
    return f"${published_text(record)}$" if record.paper_value is not None else "--"


def _tabular(grid: Grid, with_published: bool) -> list[str]:
    n_left = 1 + grid.has_blocks
    n_kinds = 1 + with_published
    titles = [rf"\multicolumn{{{n_kinds}}}{{c}}{{{escape(title)}}}" for title in grid.titles]
    starts = range(n_left + 1, n_left + 1 + n_kinds * len(grid.titles), n_kinds)
    rules = [rf"\cmidrule(lr){{{start}-{start + n_kinds - 1}}}" for start in starts]
    left = ["protocol"] * grid.has_blocks + ["pretraining"]
    kinds = ["measured", "PUBLISHED"][:n_kinds] * len(grid.titles)
    lines = [
        rf"\begin{{tabular}}{{{'l' * n_left}{'r' * n_kinds * len(grid.titles)}}}",
        r"\toprule",
        _line(["" for _ in left] + titles),
        "".join(rules),
        _line([*left, *kinds]),
        r"\midrule",
    ]
    before = grid.lines[0].block
    for line in grid.lines:
        if line.block != before:
            lines.append(r"\midrule")
            before = line.block
        lines.append(_line(_cells(line, grid.has_blocks, with_published)))
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _cells(line: Line, has_blocks: bool, with_published: bool) -> list[str]:
    cells = [escape(line.block)] * has_blocks + [escape(line.row)]
    for record in line.records:
        cells.append(EMPTY if record is None else format_cell(record.cell))
        if with_published:
            cells.append(EMPTY if record is None else _published(record))
    return cells


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _float(
    table: str, records: Sequence[TableRecord], which: str, sentences: Sequence[str]
) -> list[str]:
    return [
        r"\begin{table}[htbp]",
        r"\centering",
        r"\footnotesize",
        *_tabular(score_grid(table, records, which), with_published=which == "best"),
        rf"\caption{{{escape(' '.join(sentences))}}}",
        rf"\label{{tab:{table}-{which}}}",
        r"\end{table}",
    ]


def render(params: Params, table: str, results: Results, records: Sequence[TableRecord]) -> str:
    """Two floats: the best values beside the published ones, and the last values.

    Args:
        params: The run's params.
        table: Key of `table_specs.TABLES`.
        results: The runs.
        records: What `tables.table_records` made of them.
    """
    title = f"{TABLES[table].title}, measured on {params.dataset.name}."
    lines = ["% Made by `python -m pipeline make-tables`. Preamble: \\usepackage{booktabs}"]
    for which, shown in (("best", BEST), ("last", LAST)):
        head = [title, f"{shown.heading}; n in brackets.", shown.meaning]
        sentences = caption(params, table, results, with_published=which == "best")
        lines += _float(table, records, which, [*head, *sentences])
    return "\n".join(lines) + "\n"
