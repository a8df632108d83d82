"""SGD with Pri3D's settings, the polynomial schedule, and the loop that uses them."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.config import Finetuning, Pretraining
from pipeline.training.distributed import ALONE, Processes
from pipeline.training.running_statistics import StepStatistics


class TrainingError(Exception):
    """Training cannot go on; the text names the step and the data."""


def make_sgd(
    parameters: Iterable[torch.nn.Parameter], section: Pretraining | Finetuning
) -> torch.optim.SGD:
    """SGD as in Pri3D.

    Args:
        parameters: What is trained.
        section: Rate, momentum, dampening and weight decay.

    Source: spec C.6: momentum 0.9, dampening 0.1, no Nesterov.
    """
    return torch.optim.SGD(
        parameters,
        lr=section.learning_rate,
        momentum=section.momentum,
        dampening=section.dampening,
        weight_decay=section.weight_decay,
    )


def poly_rate(initial: float, step: int, steps: int, power: float) -> float:
    """Learning rate of one step.

    Args:
        initial: Rate at step 0.
        step: 0 .. steps - 1.
        steps: Steps of the whole training.
        power: Exponent.

    Source: spec C.6: lr (1 - s / (S + 1))^0.9, changed at every step.
    """
    return initial * (1 - step / (steps + 1)) ** power


def cosine_rate(initial: float, step: int, steps: int) -> float:
    """Learning rate of one step, on half a cosine from `initial` to 0; see `poly_rate`."""
    return initial * (1 + math.cos(math.pi * step / steps)) / 2


def seed_torch(*numbers: int) -> None:
    """Seed torch's generators for what numbers name, e.g. a part of a step.

    So a resumed training draws what an uninterrupted one does, in however many processes.
    """
    torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))


@dataclass
class Loss:
    """One part of a step.

    Attributes:
        total: scalar that is minimised.
        summands: its named parts, for the log.
        batch: names of the data, for messages.
    """

    total: torch.Tensor
    summands: Mapping[str, torch.Tensor]
    batch: str

    @property
    def parts(self) -> dict[str, float]:
        """The summands as numbers."""
        return {name: float(value.detach()) for name, value in self.summands.items()}


def train(
    optimizer: torch.optim.Optimizer,
    rate: Callable[[int], float],
    first_step: int,
    steps: int,
    step_losses: Callable[[int], Iterable[Loss]],
    after_step: Callable[[int, dict[str, float]], None],
    parts: int = 1,
    buffers: Sequence[torch.Tensor] = (),
    processes: Processes = ALONE,
    before_step: Callable[[int], None] = lambda done: None,
) -> None:
    """Run the steps first_step .. steps - 1.

    Args:
        optimizer: Steps on its own parameters.
        rate: Step -> learning rate; times its `rate_factor` for a group that has one.
        first_step: 0, or the number of steps done before.
        steps: Steps of the whole training.
        step_losses: Step -> its parts, made one after the other so that one graph is alive; of
            several processes each makes its own.
        after_step: Called with the number of steps done and the step's mean losses.
        parts: Parts of a step (gradient accumulation); their mean is minimised.
        buffers: Running statistics, which a step moves by the mean over its parts.
        processes: That share the parts.
        before_step: Called with the number of steps done; may raise to stop there.

    Raises:
        TrainingError: a loss is not finite.
        LostProcessError: another process has ended.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for step in range(first_step, steps):
        before_step(step)
        for group in optimizer.param_groups:
            group["lr"] = rate(step) * group.get("rate_factor", 1.0)
        optimizer.zero_grad(set_to_none=True)
        totals: dict[str, float] = {}
        statistics = StepStatistics(buffers) if parts > 1 else None
        for loss in step_losses(step):
            (loss.total / parts).backward()
            # Read only now: a GPU is given the backward pass before its forward pass has ended.
            values = {"loss": float(loss.total.detach()), **loss.parts}
            if not math.isfinite(values["loss"]):
                raise TrainingError(
                    f"step {step}: the loss is {values['loss']} (parts: {loss.parts}) for "
                    f"{loss.batch}; a lower learning_rate, or inspect these frames"
                )
            if statistics is not None:
                statistics.end_part()
            for name, value in values.items():
                totals[name] = totals.get(name, 0.0) + value / parts
        if statistics is not None:
            statistics.end_step(parts, processes)
        processes.sum_gradients(parameters)
        optimizer.step()
        sums = processes.total(list(totals.values()))
        after_step(step + 1, dict(zip(totals, sums, strict=True)))
