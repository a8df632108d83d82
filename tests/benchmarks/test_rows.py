"""When a measured row meets its target."""

import pytest

from benchmarks.geometry.rows import Row


@pytest.mark.parametrize(
    ("ours", "is_equal", "is_met"),
    [(1, None, True), (1, True, True), (1, False, False), (2, True, False)],
)
def test_fast_and_wrong_is_not_met(ours: float, is_equal: bool | None, is_met: bool) -> None:
    assert Row("", "s", ours, 10, at_least=10, is_equal=is_equal).is_met is is_met


def test_without_a_target() -> None:
    assert Row("", "s", 1, 10, is_equal=True).is_met is None
    assert Row("", "s", 1, 10, is_equal=False).is_met is False
