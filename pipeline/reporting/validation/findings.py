"""Violations of the artifacts' invariants, as the checks collect them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Integer, Shaped


@dataclass(frozen=True)
class Violation:
    """One broken invariant, with the number of rows that break it.

    Attributes:
        file: name in the scene's folder.
        where: `frame 12`, `row 3`; empty if it is about the whole file.
        what: what is wrong, and the first value that is.
    """

    file: str
    where: str
    what: str

    def __str__(self) -> str:
        return ", ".join(part for part in (self.file, self.where) if part) + f": {self.what}"


class Unusable(Exception):
    """A check cannot go on: it needs something that is missing or broken."""

    def __init__(self, violation: Violation):
        super().__init__(str(violation))
        self.violation = violation


class Findings:
    """The violations found in one file.

    Args:
        file: Its name.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.violations: list[Violation] = []

    def add(self, where: str, what: str) -> None:
        """Record a violation."""
        self.violations.append(Violation(self.file, where, what))

    def rows(
        self,
        where: str,
        wrong: Bool[np.ndarray, "n ..."],
        what: str,
        values: Shaped[np.ndarray, "n ..."] | None = None,
        first_row: int = 0,
    ) -> bool:
        """Record one violation for all rows that are wrong.

        Args:
            where: What the rows are of, e.g. `frame 3`.
            wrong: bool (N, ...); a row with any True is wrong.
            what: What must hold.
            values: (N, ...), what the rows hold; the first wrong one is shown.
            first_row: Number of row 0.

        Returns:
            Whether no row is wrong.
        """
        is_wrong = wrong.any(axis=tuple(range(1, wrong.ndim)))
        if n_wrong := np.count_nonzero(is_wrong):
            row = int(is_wrong.argmax())
            shown = "" if values is None else f", is {_readable(values[row])}"
            others = f"; so are {n_wrong - 1} more of {len(wrong)} rows" if n_wrong > 1 else ""
            place = ", ".join(part for part in (where, f"row {first_row + row}") if part)
            self.add(place, f"{what}{shown}{others}")
        return not n_wrong


def _readable(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return "[" + ", ".join(map(_readable, value)) + "]"
    return f"{value:.7g}" if isinstance(value, float | np.floating) else str(value)


def repeated(keys: Integer[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Which of the keys have occurred before."""
    result = np.ones(len(keys), bool)
    result[np.unique(keys, return_index=True)[1]] = False
    return result
