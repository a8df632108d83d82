"""Finetuning of DeepLabV3, DeepLabV3+ and PSPNet on a pretrained encoder, as Pri3D's code does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.config import Compute, Networks, Protocol
from pipeline.data.augment_labelled import augment_labelled
from pipeline.models.loading import load_strict
from pipeline.models.segmentation import make_network
from pipeline.models.segmentation.base import SegmentationNetwork
from pipeline.models.unet import UNet2D
from pipeline.training.batch_norm import set_momentum
from pipeline.training.cell_network import CellNetwork, Prediction
from pipeline.training.optimisation import poly_rate
from pipeline.training.recipes import Recipe, steps_of_epochs


@dataclass(frozen=True)
class Published:
    """What Pri3D's code sets for a network.

    Attributes:
        steps: optimiser steps; None: from `epochs`.
        epochs: passes over the frames.
        encoder_rate: factor on the learning rate of the encoder.
        head_rate: factor on that of all other layers.
        encoder_momentum: with which the encoder's BatchNorm follows its batches; None: PyTorch's.
    """

    steps: int | None
    epochs: int | None
    encoder_rate: float
    head_rate: float
    encoder_momentum: float | None


#: Source: spec D.2.
_DEEPLAB = Published(50_000, None, encoder_rate=0.1, head_rate=1.0, encoder_momentum=0.01)
#: Source: spec D.3.
_PSPNET = Published(None, 50, encoder_rate=1.0, head_rate=10.0, encoder_momentum=None)

#: Network of `pipeline.models.segmentation` -> how it is trained.
PUBLISHED = {
    "deeplabv3": _DEEPLAB,
    "deeplabv3plus": _DEEPLAB,
    "pspnet": _PSPNET,
}


class WholeNetwork(CellNetwork):
    """A segmentation network that is trained as a whole."""

    protocol = "full"

    def __init__(self, network: SegmentationNetwork) -> None:
        """Wrap a network; it is changed in place by training."""
        super().__init__()
        self.network = network

    def forward(self, inputs: Sequence[Tensor], image_size: tuple[int, int]) -> Prediction:
        """The network's prediction, without the auxiliary ones."""
        return self.network(inputs[0])[0]

    def loss(
        self,
        inputs: Sequence[Tensor],
        image_size: tuple[int, int],
        of: Callable[[Prediction], Tensor],
    ) -> Tensor:
        """Task's loss of the prediction and, weighted, of the auxiliary ones."""
        main, *auxiliary = self.network(inputs[0])
        total = of(main)
        for weight, prediction in zip(self.network.auxiliary_weights, auxiliary, strict=True):
            total = total + weight * of(prediction)
        return total


def network_recipe(
    name: str, unet: UNet2D, section: Networks, evaluations: int, compute: Compute
) -> Recipe:
    """Finetuning of a segmentation network whose encoder is that of a pretrained UNet.

    Args:
        name: Key of `PUBLISHED`.
        unet: Only its encoder is used; it is never changed.
        section: Schedule.
        evaluations: Validations, evenly spread.
        compute: How the arithmetic is done.

    Source: paper 001 section 4.3 and Table 3, which give no details; Pri3D's code (spec D.2, D.3).
        Deviations: the polynomial's floor of 1e-6 (DeepLab) is left out; evaluations are spread
        over the steps.
    """
    published = PUBLISHED[name]

    def make(protocol: Protocol, channels: int) -> CellNetwork:
        if protocol != "full":
            raise ValueError(f"{name} is trained as a whole, not {protocol}")
        settings = unet.settings
        network = make_network(
            name, channels, settings["encoder"], settings["width"], section.width
        )
        load_strict(network.encoder, unet.encoder.state_dict(), f"pretrained encoder of {name}")
        if published.encoder_momentum is not None:
            set_momentum(network.encoder, published.encoder_momentum)
        return WholeNetwork(network)

    def make_optimizer(network: CellNetwork) -> torch.optim.SGD:
        def part(encoder: bool) -> list[nn.Parameter]:
            named = network.named_parameters()
            return [p for path, p in named if path.startswith("network.encoder.") == encoder]

        return torch.optim.SGD(
            [
                {"params": part(encoder=True), "rate_factor": published.encoder_rate},
                {"params": part(encoder=False), "rate_factor": published.head_rate},
            ],
            lr=section.learning_rate,
            momentum=section.momentum,
            weight_decay=section.weight_decay,
        )

    def steps(protocol: Protocol, frames: int) -> int:
        fixed = section.steps or published.steps
        return fixed or steps_of_epochs(published.epochs or 1, frames, section.batch_images)

    return Recipe(
        make_network=make,
        make_optimizer=make_optimizer,
        steps=steps,
        # Both reach zero one step after the last one: (1 - step / steps) ^ power.
        rate=lambda step, steps: poly_rate(
            section.learning_rate, step, steps - 1, section.poly_power
        ),
        batch_images=section.batch_images,
        evaluations=evaluations,
        compute=compute,
        augment=augment_labelled if section.augmentation else None,
    )
