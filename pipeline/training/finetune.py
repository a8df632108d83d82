"""Finetuning of one pretrained network on all tasks with all protocols, in one process."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.config import Protocol
from pipeline.data.batch_stream import batch_stream
from pipeline.data.labelled import LabelledBatch, LabelledFrames
from pipeline.training.arithmetic import place
from pipeline.training.batch_norm import set_momentum
from pipeline.training.cell_network import CellNetwork
from pipeline.training.cell_result import CellResult
from pipeline.training.checkpoint import Checkpoints, restore_training_state, training_state
from pipeline.training.fixed_outputs import FixedOutputs, in_batches
from pipeline.training.interruption import Interrupted, StopRequest
from pipeline.training.live_metrics import LiveMetrics
from pipeline.training.optimisation import (
    Loss,
    seed_torch,
    train,
)
from pipeline.training.progress import Progress
from pipeline.training.recipes import Recipe
from pipeline.training.tasks import Task

#: Validation frames of which predictions are stored as pictures.
N_PICTURES = 4

#: A cell that is killed loses at most this long; most embedded ones take less.
CHECKPOINT_EVERY_S = 600.0


def picture_rows(n: int) -> list[int]:
    """Indices of up to `N_PICTURES` frames, evenly spread over n."""
    return sorted({int(row) for row in np.linspace(0, n - 1, min(N_PICTURES, n)).round()})


def evaluation_steps(steps: int, evaluations: int) -> list[int]:
    """Step counts after which a run of `steps` is validated; the last one is `steps`."""
    return sorted({round(steps * (i + 1) / evaluations) or 1 for i in range(evaluations)})


def training_order(rows: Sequence[int], batch: int, steps: int, seed: int) -> list[list[int]]:
    """Frames of every step: whole epochs in a random order, incomplete batches dropped.

    Args:
        rows: Indices of the frames that train.
        batch: Frames a step.
        steps: Steps of the whole training.
        seed: Of the order; the same for all cells and all pretrainings.
    """
    order: list[list[int]] = []
    epoch = 0
    while len(order) < steps:
        shuffled = np.random.default_rng([seed, epoch]).permutation(np.asarray(rows))
        n_batches = max(1, len(shuffled) // batch)
        order += np.resize(shuffled, (n_batches, batch)).tolist()
        epoch += 1
    return order[:steps]


class Finetuner:
    """All cells of one recipe and seed."""

    def __init__(
        self,
        recipe: Recipe,
        training: LabelledFrames,
        validation: LabelledFrames,
        seed: int,
        device: torch.device,
        live: Path | None = None,
        workers: int = 0,
    ) -> None:
        self._live = live
        self._workers = workers
        self._recipe = recipe
        self._splits = {"training": training, "validation": validation}
        self._size = training[0].depth.shape
        self._seed = seed
        self._device = device
        self._fixed: tuple[Protocol, dict[str, FixedOutputs]] | None = None

    def _make_network(self, protocol: Protocol, task: Task) -> CellNetwork:
        """The recipe's network; the initial weights of its head are the cell's own."""
        draws = np.random.SeedSequence([self._seed, *f"{protocol}/{task.name}".encode()])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(draws.generate_state(1)[0]))
            network = self._recipe.make_network(protocol, task.channels)
        return place(network, self._recipe.compute, self._device)

    def _fixed_outputs(self, network: CellNetwork) -> dict[str, FixedOutputs]:
        """Outputs shared by all tasks of a protocol; those of one protocol are kept at a time."""
        if self._fixed is None or self._fixed[0] != network.protocol:
            self._fixed = None
            outputs = {
                name: FixedOutputs(network, frames, self._device, self._workers)
                for name, frames in self._splits.items()
            }
            self._fixed = (network.protocol, outputs)
        return self._fixed[1]

    def _stream(
        self, split: str, batches: Sequence[Sequence[int]]
    ) -> AbstractContextManager[Iterator[LabelledBatch]]:
        """The batches of these rows of a split, decoded ahead if there are workers."""
        pin = self._device.type == "cuda"
        return batch_stream(self._splits[split].batch, batches, self._workers, pin)

    def run_cell(
        self,
        protocol: Protocol,
        task: Task,
        rows: dict[str, list[int]],
        checkpoints: Checkpoints,
        stop: StopRequest,
    ) -> CellResult:
        """Train and validate one cell, from its newest checkpoint if there is one.

        Args:
            protocol: What is trained.
            task: What for.
            rows: "training" and "validation": indices of the frames to use.
            checkpoints: Folder of this cell's states.
            stop: Heeded between steps, and between the batches of a validation.

        Returns:
            Metrics, trained tensors and pictures.

        Raises:
            TrainingError: a loss is not finite.
            WorkerError: a process that makes batches was killed.
            Interrupted: the process was asked to stop, and did with a checkpoint.

        Source: paper 000 section 4.1.2; spec D.1, D.5.
        """
        recipe = self._recipe
        network = self._make_network(protocol, task)
        fixed = self._fixed_outputs(network)
        steps = recipe.steps(protocol, len(rows["training"]))
        order = training_order(rows["training"], recipe.batch_images, steps, self._seed)
        due = evaluation_steps(steps, recipe.evaluations)
        title = f"{protocol}/{task.name}"
        scores: list[dict[str, Any]] = []
        first = 0
        optimizer = recipe.make_optimizer(network)
        if (found := checkpoints.load_latest()) is not None:
            first, state, content = found
            restore_training_state(state, network, optimizer)
            scores = content["scores"]
            print(f"{title}: resumed after step {first}", flush=True)
        metrics_folder = self._live and self._live / f"{protocol}-{task.name}"
        live = LiveMetrics(metrics_folder, first) if metrics_folder else None
        progress = Progress(title, steps, recipe.batch_images, "images", live)
        saved, saved_at = first, time.monotonic()

        def rate(step: int) -> float:
            return recipe.rate(step, steps)

        def save(done: int) -> None:
            nonlocal saved, saved_at
            if done > saved:
                checkpoints.save(done, training_state(network, optimizer), {"scores": scores})
            saved, saved_at = done, time.monotonic()

        def stop_if_asked(done: int) -> None:
            if stop.is_made:
                save(done)
                raise Interrupted(f"{title} stopped after step {done} of {steps}")

        def validate(done: int) -> None:
            if done in due and all(score["step"] != done for score in scores):
                frames = fixed["validation"]
                score = self._evaluate(
                    network, task, rows["validation"], frames, lambda: stop_if_asked(done)
                )
                scores.append({**score, "step": done})
                network.train()

        def step_losses(step: int) -> list[Loss]:
            seed_torch(self._seed, step)
            if recipe.batch_norm_momentum is not None:
                set_momentum(network, recipe.batch_norm_momentum(step))
            with progress.waiting():
                batch = next(batches).to(self._device)
            if recipe.augment is not None:
                batch = recipe.augment(batch)
            inputs = fixed["training"].get(order[step], batch.images, network)
            loss = network.loss(inputs, self._size, lambda prediction: task.loss(prediction, batch))
            names = ", ".join(f"{scene}: {frame}" for scene, frame in batch.keys)
            return [Loss(loss, {}, f"{title}, {names}")]

        def after_step(done: int, losses: dict[str, float]) -> None:
            progress.update(done, losses, rate(done - 1))
            validate(done)
            if time.monotonic() - saved_at > CHECKPOINT_EVERY_S:
                save(done)

        network.train()
        validate(first)  # of a cell that was stopped while it did
        with self._stream("training", order[first:]) as batches, progress:
            train(optimizer, rate, first, steps, step_losses, after_step, before_step=stop_if_asked)
        metrics = {
            # NaN (no valid pixel, or diverged) compares as neither larger nor smaller.
            "best": max(scores, key=lambda score: np.nan_to_num(score[task.score], nan=-np.inf)),
            "last": scores[-1],
            "curve": [{name: score[name] for name in ("step", task.score)} for score in scores],
            "steps": steps,
            "n_train": len(rows["training"]),
            "n_validation": len(rows["validation"]),
        }
        picture = None
        if task.picture is not None:
            pictured = picture_rows(len(self._splits["validation"]))
            images = self._splits["validation"].batch(pictured).images.to(self._device)
            with torch.no_grad():
                network.eval()
                inputs = fixed["validation"].get(pictured, images, network)
                picture = task.picture(network(inputs, self._size))
        return CellResult(metrics, network.trained_state(), picture)

    def _evaluate(
        self,
        network: CellNetwork,
        task: Task,
        rows: list[int],
        fixed: FixedOutputs,
        before_batch: Callable[[], None],
    ) -> dict[str, Any]:
        """Metrics over all frames and, under "scenes", over those of each scene."""
        keys = self._splits["validation"].keys
        of_scenes = groupby(rows, key=lambda row: keys[row][0])
        parts = [part for _, of_scene in of_scenes for part in in_batches(list(of_scene))]
        metric, scenes = task.make_metric(), {}
        network.eval()
        with self._stream("validation", parts) as batches:
            for indices in parts:
                before_batch()
                batch = next(batches).to(self._device)
                with torch.no_grad():
                    prediction = network(fixed.get(indices, batch.images, network), self._size)
                scene = batch.keys[0][0]
                if scene not in scenes:
                    scenes[scene] = task.make_metric()
                for each in (metric, scenes[scene]):
                    task.process(each, prediction, batch)
        per_scene = {scene: each.evaluate() for scene, each in scenes.items()}
        return {**metric.evaluate(), "scenes": per_scene}


def finetune(
    finetuner: Finetuner,
    protocols: Sequence[Protocol],
    tasks: Sequence[Task],
    rows: Callable[[Task], dict[str, list[int]]],
    folder: Path,
    stop: StopRequest,
) -> dict[str, CellResult]:
    """Run all cells, or load those that an interrupted run finished.

    Args:
        finetuner: The recipe and the data.
        protocols: Rows of the table, each with all tasks, so that fixed outputs serve all tasks.
        tasks: Columns of the table.
        rows: Task -> indices of its frames in each split.
        folder: Finished cells and checkpoints of the one at work; its name says what they belong
            to (params, data, weights).
        stop: Heeded at any time.

    Returns:
        "<protocol>/<task>" -> result.

    Raises:
        TrainingError: a loss is not finite.
        WorkerError: a process that makes batches was killed.
        Interrupted: the process was asked to stop, and did with a checkpoint.
    """
    results = {}
    for protocol in protocols:
        for task in tasks:
            path = folder / f"{protocol}-{task.name}.safetensors"
            result = CellResult.load(path)
            if result is None:
                if stop.is_made:
                    raise Interrupted(f"stopped before {protocol}/{task.name}")
                states = Checkpoints(path.with_suffix(""))
                result = finetuner.run_cell(protocol, task, rows(task), states, stop)
                result.save(path)
                shutil.rmtree(states.folder, ignore_errors=True)
            else:
                print(f"{protocol}/{task.name}: finished before, kept", flush=True)
            results[f"{protocol}/{task.name}"] = result
    return results
