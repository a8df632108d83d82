"""What a forward and a backward pass cost, of several networks in turn."""

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

#: First passes, which compile kernels and fill caches, are not counted.
WARM_UP = 2


@dataclass
class Costs:
    """Seconds of each pass that counted, and the output of the first of all."""

    forward: list[float] = field(default_factory=list)
    backward: list[float] = field(default_factory=list)
    output: Tensor | None = None

    @property
    def medians(self) -> tuple[float, float, float]:
        """Forward, backward, both; seconds."""
        both = [sum(pair) for pair in zip(self.forward, self.backward, strict=True)]
        return (
            statistics.median(self.forward),
            statistics.median(self.backward),
            statistics.median(both),
        )


def take_turns(
    nets: Mapping[str, nn.Module],
    batch: Callable[[int], tuple[Tensor, Tensor]],
    repeats: int,
    clock: Callable[[], float] = time.process_time,
    contexts: Mapping[str, AbstractContextManager] | None = None,
) -> dict[str, Costs]:
    """Run the networks in turn on the same batches, so that what else the machine does hits all.

    Args:
        nets: in training mode; all start from the same weights, none is updated.
        batch: number of a repetition -> coordinates and features.
        repeats: passes of each that count.
        clock: CPU seconds of all threads, or another.
        contexts: of a network's forward pass, e.g. autocast; none if left out.
    """
    costs = {name: Costs() for name in nets}
    for repeat in range(WARM_UP + repeats):
        coords, features = batch(repeat)
        for name, net in nets.items():
            net.zero_grad(set_to_none=True)
            start = clock()
            with (contexts or {}).get(name, nullcontext()):
                output = net(coords, features)
            middle = clock()
            output.float().square().mean().backward()
            end = clock()
            if repeat == 0:
                costs[name].output = output.detach().float()
            if repeat >= WARM_UP:
                costs[name].forward.append(middle - start)
                costs[name].backward.append(end - middle)
    return costs


def difference(a: Costs, b: Costs) -> float:
    """Largest difference of the outputs over the largest output."""
    assert a.output is not None
    assert b.output is not None
    return float((a.output - b.output).abs().max() / b.output.abs().max())


def device_clock() -> float:
    """Wall seconds, once the GPU has done all it was given."""
    torch.cuda.synchronize()
    return time.perf_counter()
