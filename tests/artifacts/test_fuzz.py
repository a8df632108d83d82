"""A few seconds of `benchmarks.fuzz_sens`, and proof that it would notice."""

import pytest

from benchmarks import fuzz_sens
from benchmarks.fuzz_sens import MEMORY_LIMIT, TARGETS, fuzz, make_input, run_input


def test_nothing_but_named_errors():
    report = fuzz(seconds=3, seed=1)
    assert not report.findings, report.findings
    assert {"sens: frame ok", "sens: frame corrupt", "sens: refused", "read_ply: ok"} <= set(
        report.counts
    )


def test_an_input_is_a_function_of_its_number():
    assert [make_input(3, number) for number in range(20)] == [
        make_input(3, number) for number in range(20)
    ]


def test_excess_of_memory_is_noticed(tmp_path, monkeypatch):
    greedy = (TARGETS["sens"][0], lambda path: {str(bytes(2 * MEMORY_LIMIT)[:1])}, 1.0)
    monkeypatch.setitem(TARGETS, "sens", greedy)
    with pytest.raises(MemoryError):
        run_input("sens", b"", 0, tmp_path / "input")


def test_excess_of_time_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz_sens, "TIME_LIMIT_S", 0.0)
    with pytest.raises(TimeoutError, match="took"):
        run_input("sens", b"", 0, tmp_path / "input")
