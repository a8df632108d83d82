"""Finetuning of one pretrained network on all tasks with all protocols, in one process."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.config import Finetuning
from pipeline.data.labelled import LabelledFrames
from pipeline.models.unet import UNet2D
from pipeline.training.checkpoint import load_usable, save_tensors
from pipeline.training.fixed_outputs import FixedOutputs, in_batches
from pipeline.training.freezing import Protocol, SplitNetwork
from pipeline.training.optimisation import Loss, Progress, make_sgd, place, poly_rate, train
from pipeline.training.tasks import Task

#: Validation frames of which predictions are stored as pictures.
N_PICTURES = 4


@dataclass
class CellResult:
    """One protocol and task.

    Attributes:
        metrics: best, last, steps as in metrics.json.
        weights: tensors that were trained, after the last step.
        picture: predictions of the pictured frames after the last step; None for tasks without.
    """

    metrics: dict[str, Any]
    weights: dict[str, Tensor]
    picture: Tensor | None

    def save(self, path: Path) -> None:
        """Write the result to one file, atomically."""
        tensors = {f"weights.{name}": tensor for name, tensor in self.weights.items()}
        if self.picture is not None:
            tensors["picture"] = self.picture
        save_tensors(path, tensors, self.metrics)

    @staticmethod
    def load(path: Path) -> "CellResult | None":
        """What `save` wrote; None if it is missing or damaged."""
        if (found := load_usable(path)) is None:
            return None
        tensors, metrics = found
        picture = tensors.pop("picture", None)
        weights = {name.removeprefix("weights."): tensor for name, tensor in tensors.items()}
        return CellResult(metrics, weights, picture)


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
    """All cells of one pretrained network: it is never changed, each cell trains a copy."""

    def __init__(
        self,
        unet: UNet2D,
        training: LabelledFrames,
        validation: LabelledFrames,
        section: Finetuning,
        seed: int,
        device: torch.device,
    ) -> None:
        self._unet = place(unet, device)
        self._splits = {"training": training, "validation": validation}
        self._size = training[0].depth.shape
        self._section = section
        self._seed = seed
        self._device = device
        self._fixed: tuple[Protocol, dict[str, FixedOutputs]] | None = None

    def _make_network(self, protocol: Protocol, task: Task) -> SplitNetwork:
        """A copy of the UNet with a head, whose initial weights are the cell's own."""
        section = self._section
        draws = np.random.SeedSequence([self._seed, *f"{protocol}/{task.name}".encode()])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(draws.generate_state(1)[0]))
            network = SplitNetwork(
                copy.deepcopy(self._unet),
                protocol,
                task.channels,
                section.mlp_channels,
                section.frozen_batch_norm,
            )
        return place(network, self._device)

    def _fixed_outputs(self, network: SplitNetwork) -> dict[str, FixedOutputs]:
        """Outputs shared by all tasks of a protocol; those of one protocol are kept at a time."""
        if self._fixed is None or self._fixed[0] != network.protocol:
            self._fixed = None
            outputs = {
                name: FixedOutputs(network, frames, self._device)
                for name, frames in self._splits.items()
            }
            self._fixed = (network.protocol, outputs)
        return self._fixed[1]

    def run_cell(self, protocol: Protocol, task: Task, rows: dict[str, list[int]]) -> CellResult:
        """Train and validate one cell.

        Args:
            protocol: What is trained.
            task: What for.
            rows: "training" and "validation": indices of the frames to use.

        Returns:
            Metrics, trained tensors and pictures.

        Raises:
            TrainingError: a loss is not finite.

        Source: paper 000 section 4.1.2; spec D.1, D.5.
        """
        section = self._section
        network = self._make_network(protocol, task)
        fixed = self._fixed_outputs(network)
        frames = self._splits["training"]
        steps = section.steps.get(protocol) or max(
            1, section.epochs * (len(rows["training"]) // section.batch_images)
        )
        order = training_order(rows["training"], section.batch_images, steps, self._seed)
        due = evaluation_steps(steps, section.evaluations)
        progress = Progress(f"{protocol}/{task.name}", steps, section.batch_images, "images")
        scores: list[dict[str, Any]] = []

        def rate(step: int) -> float:
            return poly_rate(section.learning_rate, step, steps, section.poly_power)

        def step_losses(step: int) -> list[Loss]:
            batch = frames.batch(order[step]).to(self._device)
            prediction = network(fixed["training"].get(order[step], network), self._size)
            names = ", ".join(f"{scene}: {frame}" for scene, frame in batch.keys)
            return [Loss(task.loss(prediction, batch), {}, f"{protocol}/{task.name}, {names}")]

        def after_step(done: int, losses: dict[str, float]) -> None:
            progress.update(done, losses, rate(done - 1))
            if done in due:
                score = self._evaluate(network, task, rows["validation"], fixed["validation"])
                scores.append({**score, "step": done})
                network.train()

        network.train()
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        train(make_sgd(trained, section), rate, 0, steps, step_losses, after_step)
        metrics = {
            # NaN (no valid pixel, or diverged) compares as neither larger nor smaller.
            "best": max(scores, key=lambda score: np.nan_to_num(score[task.score], nan=-np.inf)),
            "last": scores[-1],
            "steps": steps,
            "n_train": len(rows["training"]),
            "n_validation": len(rows["validation"]),
        }
        picture = None
        if task.picture is not None:
            pictured = picture_rows(len(self._splits["validation"]))
            with torch.no_grad():
                network.eval()
                inputs = fixed["validation"].get(pictured, network)
                picture = task.picture(network(inputs, self._size))
        return CellResult(metrics, network.trained_state(), picture)

    def _evaluate(
        self, network: SplitNetwork, task: Task, rows: list[int], fixed: FixedOutputs
    ) -> dict[str, Any]:
        """Metrics over all frames and, under "scenes", over those of each scene."""
        frames = self._splits["validation"]
        metric, scenes = task.make_metric(), {}
        network.eval()
        for scene, of_scene in groupby(rows, key=lambda row: frames.keys[row][0]):
            scenes[scene] = task.make_metric()
            for indices in in_batches(list(of_scene)):
                batch = frames.batch(indices).to(self._device)
                with torch.no_grad():
                    prediction = network(fixed.get(indices, network), self._size)
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
) -> dict[str, CellResult]:
    """Run all cells, or load those that an interrupted run finished.

    Args:
        finetuner: The pretrained network and its data.
        protocols: Rows of the table, each with all tasks, so that fixed outputs serve all tasks.
        tasks: Columns of the table.
        rows: Task -> indices of its frames in each split.
        folder: Finished cells; its name says what they belong to (params, data, weights).

    Returns:
        "<protocol>/<task>" -> result.
    """
    results = {}
    for protocol in protocols:
        for task in tasks:
            path = folder / f"{protocol}-{task.name}.safetensors"
            result = CellResult.load(path)
            if result is None:
                result = finetuner.run_cell(protocol, task, rows(task))
                result.save(path)
            else:
                print(f"{protocol}/{task.name}: finished before, kept", flush=True)
            results[f"{protocol}/{task.name}"] = result
    return results
