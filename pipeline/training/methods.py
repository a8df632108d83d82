"""How a variant is pretrained, apart from its data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.optim import SGD

from pipeline.config import Moco, Params
from pipeline.losses.moco import queue_info_nce
from pipeline.models.loading import NotPretrainedError
from pipeline.training.contrastive import ContrastiveModel
from pipeline.training.moco import MocoNetworks
from pipeline.training.networks import Networks
from pipeline.training.optimisation import cosine_rate, make_sgd, poly_rate
from pipeline.training.pair_losses import PAIR_LOSSES
from pipeline.training.second_stage import Start, go_on_from


@dataclass(frozen=True)
class Method:
    """A way to pretrain a UNet.

    Attributes:
        networks: what is trained.
        losses: (what the networks return, batch) -> the summands by name; none: no training.
        make_optimizer: () -> SGD on what is trained.
        rate: (step, steps) -> learning rate.
        steps: batches of an epoch -> optimiser steps of the whole training.
        items: name of what a batch holds.
        items_per_step: and how many of them a step has.
        drawn: second stage: parts of the networks that its start does not have, drawn anew.
    """

    networks: Networks
    losses: Callable[[Any, Any], Mapping[str, Tensor]]
    make_optimizer: Callable[[], SGD]
    rate: Callable[[int, int], float]
    steps: Callable[[int], int]
    items: str
    items_per_step: int
    drawn: tuple[str, ...] = ()


def steps_of_epochs(steps: int | None, epochs: int, batches: int, accumulation: int) -> int:
    """Optimiser steps of the whole training: as given, or from the epochs."""
    return steps or max(1, epochs * batches // accumulation)


def pair_method(params: Params, row: str, seed: int) -> Method:
    """Losses on frame pairs, with their sum as Pri3D trains it.

    Args:
        params: Sections model and pretraining, of `Params.for_row`.
        row: Which losses are on.
        seed: Of the initial weights.

    Source: paper 000 section 4.1.1; spec C.4-C.6.
    """
    section, variant = params.pretraining, params.variant(row)
    networks = ContrastiveModel(params.model, variant, seed)
    return Method(
        networks=networks,
        losses=lambda outputs, batch: {
            name: PAIR_LOSSES[name](networks, outputs, batch, section.contrast, variant)
            for name in variant.losses
        },
        make_optimizer=lambda: make_sgd(networks.parameters(), section),
        rate=lambda step, steps: poly_rate(section.learning_rate, step, steps, section.poly_power),
        steps=lambda batches: steps_of_epochs(
            section.steps, section.epochs, batches, section.accumulation
        ),
        items="pairs",
        items_per_step=section.batch_pairs,
    )


def moco_method(params: Params, moco: Moco, seed: int) -> Method:
    """MoCo v2 on single frames.

    Args:
        params: Sections model and pretraining, of `Params.for_row`.
        moco: The row's options.
        seed: Of the initial weights.

    Source: Chen et al. 2020 (MoCo v2); spec E, `moco_supIN_SN`. Deviation: the cosine falls at
    every step (MoCo: at every epoch).
    """
    section = params.pretraining
    networks = MocoNetworks(params.model, moco, seed)
    return Method(
        networks=networks,
        losses=lambda found, batch: {
            "moco": queue_info_nce(found.queries, found.keys, networks.negatives, moco.temperature)
        },
        make_optimizer=lambda: SGD(
            [*networks.unet.encoder.parameters(), *networks.head_moco.parameters()],
            lr=moco.learning_rate,
            momentum=section.momentum,
            weight_decay=moco.weight_decay,
        ),
        rate=lambda step, steps: cosine_rate(moco.learning_rate, step, steps),
        steps=lambda batches: steps_of_epochs(
            moco.steps, moco.epochs, batches, section.accumulation
        ),
        items="images",
        items_per_step=moco.batch_images,
    )


def make_method(params: Params, row: str, seed: int, start: Start | None = None) -> Method:
    """How a row is pretrained, before its first step.

    Args:
        params: Sections model, pretraining and the variant are used.
        row: Key of `params.variants`, or a row of the second stage.
        seed: Of the initial weights.
        start: What the second stage goes on from; sizes and weights are the start's.

    Raises:
        NotPretrainedError: it starts from a checkpoint, and none is given.
        CheckpointError: that, or the start, cannot be used.
    """
    params = params.for_row(row)
    if start is not None:
        # No weights depend on the backend, so it is today's.
        backend = {"sparse_backend": params.model.sparse_backend}
        model = start.model.model_copy(update=backend)
        method = pair_method(params.model_copy(update={"model": model}), row, seed)
        assert isinstance(method.networks, ContrastiveModel)
        return replace(method, drawn=go_on_from(method.networks, start))
    moco = params.variant(row).moco
    method = moco_method(params, moco, seed) if moco else pair_method(params, row, seed)
    if params.model.init == "checkpoint":
        if params.model.init_checkpoint is None:
            raise NotPretrainedError("no checkpoint given")
        method.networks.load_encoder(params.model.init_checkpoint)
    return method
