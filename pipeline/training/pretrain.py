"""Pretraining of one row and seed, resumable at any step."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipeline.config import Params
from pipeline.data.batch_stream import batch_stream
from pipeline.data.pairs import PairBatches
from pipeline.data.single_frames import FrameBatches
from pipeline.training.arithmetic import place
from pipeline.training.checkpoint import Checkpoints, restore_training_state, training_state
from pipeline.training.distributed import ALONE, Processes
from pipeline.training.interruption import Interrupted, StopRequest
from pipeline.training.live_metrics import LiveMetrics
from pipeline.training.methods import Method, make_method
from pipeline.training.networks import Networks
from pipeline.training.optimisation import Loss, seed_torch, train
from pipeline.training.progress import Progress
from pipeline.training.second_stage import Start


@dataclass
class Pretrained:
    """Result of a pretraining.

    Attributes:
        model: the trained networks.
        steps: optimiser steps done.
        history: mean losses over each stretch of `HISTORY_STEPS` steps, with its last step.
        n_redrawn: pairs without a match that were replaced by others.
        drawn: second stage: parts of the networks that its start does not have.
    """

    model: Networks
    steps: int
    history: list[dict[str, float]]
    n_redrawn: int
    drawn: tuple[str, ...] = ()


#: Points of the loss curve that the metadata keep.
HISTORY_POINTS = 50


def batch_loss(method: Method, batch: Any) -> Loss:
    """All losses of one batch on the networks' device, and their sum."""
    losses = method.losses(method.networks(batch), batch)
    return Loss(
        total=torch.stack(list(losses.values())).sum(),
        summands=losses,
        batch=", ".join(batch.names),
    )


def pretrain(
    params: Params,
    variant: str,
    seed: int,
    batches: PairBatches | FrameBatches,
    device: torch.device,
    checkpoints: Checkpoints,
    processes: Processes = ALONE,
    stop: StopRequest | None = None,
    start: Start | None = None,
    live: Path | None = None,
) -> Pretrained:
    """Train a variant, from its newest checkpoint if there is one.

    Args:
        params: Sections model, pretraining and the variant are used.
        variant: Key of `params.variants`, or a row of the second stage; one without losses is not
            trained.
        seed: Of the initial weights (order and sampling are those of `batches`).
        batches: Batch number -> pairs, the same for all variants of a seed; frames for MoCo.
        device: Where to train.
        checkpoints: Folder of this run's states.
        processes: That train together.
        stop: Heeded between steps.
        start: What the second stage goes on from.
        live: Folder of the metrics while it trains; None: they are only printed.

    Returns:
        The networks after the last step. On one CPU thread the weights are the same whether or
        not the run was interrupted.

    Raises:
        NotPretrainedError: the variant starts from a checkpoint, and none is given.
        CheckpointError: the checkpoint, or a state of this run, does not fit.
        TrainingError: a loss is not finite.
        WorkerError: a process that makes batches was killed.
        LostProcessError: another process has ended.
        Interrupted: a process was asked to stop, and did with a checkpoint.

    Source: paper 000 section 4.1.1; spec C.4, C.6. Deviation: BatchNorm keeps PyTorch's momentum
    0.1 (Pri3D's schedule falls to 0.001 within 180 steps, longer than short runs' memory), and
    moves once a step where a step has parts.
    """
    section, method = params.pretraining, make_method(params, variant, seed, start)
    model = place(method.networks, section.compute, device)
    result = Pretrained(model=model, steps=0, history=[], n_redrawn=0, drawn=method.drawn)
    if not params.variant(variant).losses:
        return result
    stop = stop or StopRequest()
    steps, parts = method.steps(len(batches)), section.accumulation
    optimizer = method.make_optimizer()
    recent: dict[str, float] = {}
    stretch = max(1, steps // HISTORY_POINTS)
    if (found := processes.from_main(checkpoints.load_latest)) is not None:
        result.steps, state, content = found
        restore_training_state(state, model, optimizer)
        result.history, result.n_redrawn, recent = (
            content[name] for name in ("history", "n_redrawn", "recent")
        )
        if processes.is_main:
            print(f"{variant} seed {seed}: resumed after step {result.steps}", flush=True)
    numbers = processes.own(range(result.steps * parts, steps * parts), parts)
    metrics = LiveMetrics(live, result.steps) if live and processes.is_main else None
    title = f"pretrain {variant} s{seed}"
    progress = Progress(title, steps, method.items_per_step, method.items, metrics)
    saved, n_redrawn = result.steps, 0

    def rate(step: int) -> float:
        return method.rate(step, steps)

    def save(done: int) -> None:
        nonlocal saved
        if processes.is_main and done > saved:
            content = {
                "history": result.history,
                "n_redrawn": result.n_redrawn,
                "recent": recent,
            }
            checkpoints.save(done, training_state(model, optimizer), content)
        saved = done

    def before_step(done: int) -> None:
        if any(processes.total([stop.is_made])):
            save(done)
            raise Interrupted(f"stopped after step {done} of {steps}")

    def step_losses(step: int) -> Iterator[Loss]:
        nonlocal n_redrawn
        for number in processes.own(range(step * parts, (step + 1) * parts), parts):
            with progress.waiting():
                batch: Any = next(stream)
            n_redrawn += batch.n_redrawn
            seed_torch(seed, number)
            yield batch_loss(method, batch.to(device))

    def after_step(done: int, losses: dict[str, float]) -> None:
        nonlocal recent, n_redrawn
        model.end_step(processes)
        if processes.is_main:
            progress.update(done, losses, rate(done - 1))
        recent = {name: recent.get(name, 0.0) + value for name, value in losses.items()}
        if done % stretch == 0:
            means = {name: round(value / stretch, 5) for name, value in recent.items()}
            result.history.append({"step": done, **means})
            recent = {}
        result.n_redrawn += int(*processes.total([n_redrawn]))
        n_redrawn = 0
        if done % section.checkpoint_every == 0 or done == steps:
            save(done)

    model.train()
    pin = device.type == "cuda"
    with batch_stream(batches.__getitem__, numbers, section.workers, pin) as stream, progress:
        train(
            optimizer,
            rate,
            result.steps,
            steps,
            step_losses,
            after_step,
            parts,
            model.running_statistics(),
            processes,
            before_step,
        )
    result.steps = steps
    return result
