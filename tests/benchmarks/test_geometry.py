"""The benchmarks run to their end with the stages and presets as they are now."""

import sys
from pathlib import Path

import pytest

from benchmarks.geometry.__main__ import ROWS, main


@pytest.mark.long
def test_all_rows_of_the_sequences(
    sequences: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """But those that need minutes or a recording of 6,000 frames."""
    names = [name for name in ROWS if name not in ("memory", "long")]
    options = ["--raw", str(sequences), "--quick", "--folder", str(tmp_path), "--only", *names]
    monkeypatch.setattr(sys, "argv", ["geometry", *options])
    main()
    assert "skipped" not in capsys.readouterr().out
