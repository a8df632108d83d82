"""How a network is finetuned, apart from its data and task; here for the UNet."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from pipeline.config import Compute, Finetuning, Protocol
from pipeline.data.labelled import LabelledBatch
from pipeline.models.unet import UNet2D
from pipeline.training.batch_norm import pri3d_momentum
from pipeline.training.cell_network import CellNetwork
from pipeline.training.freezing import SplitNetwork
from pipeline.training.optimisation import make_sgd, poly_rate


@dataclass(frozen=True)
class Recipe:
    """A kind of network with its schedule.

    Attributes:
        make_network: (protocol, channels of the task) -> a network that may be changed; initial
            weights of what was not pretrained come from torch's global generator.
        make_optimizer: network -> SGD on what is trained.
        steps: (protocol, number of training frames) -> optimiser steps.
        rate: (step, steps) -> learning rate.
        batch_images: frames a step.
        evaluations: validations, evenly spread.
        compute: how the arithmetic is done.
        augment: changes a training batch; draws from torch's global generator. None: nothing.
        batch_norm_momentum: step -> momentum of every BatchNorm; None: as the network has it.
    """

    make_network: Callable[[Protocol, int], CellNetwork]
    make_optimizer: Callable[[CellNetwork], torch.optim.SGD]
    steps: Callable[[Protocol, int], int]
    rate: Callable[[int, int], float]
    batch_images: int
    evaluations: int
    compute: Compute = field(default_factory=Compute)
    augment: Callable[[LabelledBatch], LabelledBatch] | None = None
    batch_norm_momentum: Callable[[int], float] | None = None


def steps_of_epochs(epochs: int, frames: int, batch: int) -> int:
    """Steps of so many passes over the frames, incomplete batches dropped."""
    return max(1, epochs * (frames // batch))


def unet_recipe(unet: UNet2D, section: Finetuning) -> Recipe:
    """Finetuning of a pretrained UNet with any protocol.

    Args:
        unet: It is never changed, each network holds a copy.
        section: Schedule and heads.

    Source: paper 000 section 4.1.2; spec D.1, D.5.
    """

    def make_network(protocol: Protocol, channels: int) -> CellNetwork:
        return SplitNetwork(
            copy.deepcopy(unet),
            protocol,
            channels,
            section.mlp_channels,
            section.frozen_batch_norm,
        )

    def make_optimizer(network: CellNetwork) -> torch.optim.SGD:
        return make_sgd([each for each in network.parameters() if each.requires_grad], section)

    return Recipe(
        make_network=make_network,
        make_optimizer=make_optimizer,
        steps=lambda protocol, frames: (
            section.steps.of(protocol)
            or steps_of_epochs(section.epochs, frames, section.batch_images)
        ),
        rate=lambda step, steps: poly_rate(section.learning_rate, step, steps, section.poly_power),
        batch_images=section.batch_images,
        evaluations=section.evaluations,
        batch_norm_momentum=pri3d_momentum if section.batch_norm_momentum == "pri3d" else None,
        compute=section.compute,
    )
