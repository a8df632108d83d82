"""How far a training is: a line on the screen or in the log, and metrics while it runs."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.status import Status

from pipeline.training.live_metrics import LiveMetrics


class Progress:
    """Losses, rate, throughput, time left and the share of time spent waiting for data.

    On a terminal the line is renewed in place, elsewhere one is printed now and then. As a
    context it gives the terminal back, however a training ends.
    """

    def __init__(
        self,
        title: str,
        steps: int,
        items_per_step: int,
        items: str,
        metrics: LiveMetrics | None = None,
        interval_s: float = 10.0,
    ) -> None:
        """Start the clock.

        Args:
            title: Start of each line.
            steps: Steps of the whole training.
            items_per_step: Pairs or images of a step.
            items: Name of these.
            metrics: Are given the same figures, too.
            interval_s: Seconds between lines of a log.
        """
        self._title, self._steps, self._interval_s = title, steps, interval_s
        self._items_per_step, self._items = items_per_step, items
        self._metrics = metrics
        console = Console()
        self._status = Status("", console=console) if console.is_terminal else None
        self._start = time.monotonic()
        self._last = -float("inf")
        self._done = 0
        self._waited_s = 0.0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.stop()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Inside it data are waited for: read, decoded and matched here or by others.

        The device idles meanwhile, since a step ends by reading its losses.
        """
        start = time.monotonic()
        yield
        self._waited_s += time.monotonic() - start

    @property
    def waiting_share(self) -> float:
        """Share of all time so far in which the device waited for data."""
        return self._waited_s / max(time.monotonic() - self._start, 1e-9)

    def update(self, step: int, losses: Mapping[str, float], rate: float) -> None:
        """Count a finished step (1-based), and show it where it is due.

        Args:
            step: Steps done, also by earlier runs.
            losses: Of this step.
            rate: Its learning rate.
        """
        self._done += 1
        now, is_last = time.monotonic(), step == self._steps
        per_second = self._done / max(now - self._start, 1e-9)
        if self._metrics is not None:
            figures = {
                **losses,
                "learning_rate": rate,
                f"{self._items}_per_second": per_second * self._items_per_step,
                "waiting_share": self.waiting_share,
            }
            self._metrics.log(step, figures, is_last)
        is_due = now - self._last >= self._interval_s or is_last
        if self._status is None and not is_due:
            return
        values = "  ".join(f"{name} {value:.4f}" for name, value in losses.items())
        line = (
            f"{self._title}  step {step}/{self._steps}  {values}  lr {rate:.4f}  "
            f"{per_second:.2f} steps/s  {per_second * self._items_per_step:.1f} {self._items}/s  "
            f"waits for data {self.waiting_share:.0%}  "
            f"{(self._steps - step) / per_second:.0f} s left"
        )
        if self._status is not None:
            self._status.start()
            self._status.update(line)
        if is_due and (self._status is None or is_last):
            print(line, flush=True)
        if is_due:
            self._last = now
