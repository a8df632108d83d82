"""The benchmark of the 3D network: turns, cuts, and a run to its end."""

import itertools
import sys

import pytest
import torch
from torch import nn

from benchmarks.sparse import network_rows
from benchmarks.sparse.__main__ import main
from benchmarks.sparse.steps import WARM_UP, difference, take_turns
from benchmarks.sparse.voxels import RoomVoxels
from tests.models.test_minkowski import require_engine


class Slow(nn.Module):
    """Its passes take as many ticks of the clock as it is told."""

    def __init__(self, clock: "Clock", ticks: int, calls: list[tuple["Slow", int]]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(float(ticks)))
        self.clock, self.ticks, self.calls = clock, ticks, calls

    def forward(self, coords: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        self.calls.append((self, int(coords)))
        self.clock.now += self.ticks
        output = features * self.weight
        output.register_hook(self._tick)
        return output

    def _tick(self, gradient: torch.Tensor) -> None:
        self.clock.now += 10 * self.ticks


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_networks_take_turns_on_the_same_batches() -> None:
    clock, calls = Clock(), []
    nets = {name: Slow(clock, ticks, calls) for name, ticks in (("a", 1), ("b", 3))}
    batches = ((torch.tensor(n), torch.ones(2)) for n in itertools.count())
    costs = take_turns(nets, lambda _: next(batches), 2, clock)
    expected = [(net, n) for n in range(WARM_UP + 2) for net in nets.values()]
    assert calls == expected
    assert costs["a"].medians == (1, 10, 11)
    assert costs["b"].medians == (3, 30, 33)
    assert len(costs["b"].forward) == 2
    assert difference(costs["a"], costs["b"]) == pytest.approx(2 / 3)


@pytest.mark.long
def test_runs_to_its_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    require_engine()
    monkeypatch.setattr(network_rows, "N_VOXELS", 2_000)
    monkeypatch.setattr(sys, "argv", ["sparse", "--quick", "--only", "small", "gpu"])
    main()
    assert "embedded default's network, 20,000 voxels: forward" in capsys.readouterr().out
    rows = list(network_rows.whole_rows(RoomVoxels(), True))
    assert [row.is_equal for row in rows] == [True] * 3
