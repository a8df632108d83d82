"""Metrics of a training while it runs, as dvclive writes them."""

import time
from collections.abc import Mapping
from pathlib import Path

from dvclive import Live

#: Seconds between rows, each of which costs about 1 ms.
INTERVAL_S = 1.0


class _Files(Live):
    """dvclive's files alone (of version 3.49.1).

    It would open the repository to make an experiment of the training, which is DVC's own work
    here, and tell DVC's Studio of every training where a token is set.
    """

    def _init_dvc(self) -> None:
        """Ask for no repository."""
        self._dvc_file = "dvc.yaml"

    def _init_studio(self) -> None:
        """Tell nobody."""
        self._studio_events_to_skip |= {"start", "data", "done"}


class LiveMetrics:
    """One table a metric, `plots/metrics/NAME.tsv`, and the newest values in `metrics.json`.

    They are a log, not a result: git and DVC's stages do not see them, and the times in them differ
    from run to run, so they are not in a result's metadata.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        """Go on after a step.

        Args:
            folder: Only for this training.
            first_step: Steps done before. Later rows, of a run that was killed after its last
                checkpoint, are dropped, and so is a row that was cut off.
        """
        for table in folder.glob("plots/metrics/**/*.tsv"):
            _keep_rows(table, first_step)
        # Not whole where a run was killed while it wrote it.
        (folder / "metrics.json").unlink(missing_ok=True)
        self._live = _Files(str(folder), resume=True, save_dvc_exp=False, dvcyaml=None)
        self._last = -float("inf")

    def log(self, step: int, values: Mapping[str, float], is_last: bool = False) -> None:
        """Add a row to each table where the last one is `INTERVAL_S` old.

        Args:
            step: Steps done.
            values: Name -> value.
            is_last: Add it in any case.
        """
        now = time.monotonic()
        if now - self._last < INTERVAL_S and not is_last:
            return
        self._last = now
        self._live.step = step
        for name, value in values.items():
            self._live.log_metric(name, value)
        # Not `next_step` or `end`: they leave files in .dvc/, and inside `dvc exp run` in git.
        self._live.make_summary()


def _keep_rows(table: Path, last_step: int) -> None:
    """Rows up to a step, below the header."""
    header, *rows = table.read_text(encoding="utf-8").splitlines(keepends=True) or [""]

    def is_kept(row: str) -> bool:
        step, *values = row.split("\t")
        return row.endswith("\n") and len(values) == 1 and int(step) <= last_step

    kept = [row for row in rows if is_kept(row)]
    if kept:
        table.write_text(header + "".join(kept), encoding="utf-8")
    else:
        table.unlink()
