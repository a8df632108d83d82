"""What of a pretrained network is trained: frozen, half-frozen or full finetuning."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.config import Protocol
from pipeline.models.heads import PixelMLP, PlainHead, resize
from pipeline.models.unet import UNet2D
from pipeline.training.cell_network import CellNetwork


class SplitNetwork(CellNetwork):
    """A UNet and a task's head, cut into a fixed part and a trained part.

    frozen: the UNet is fixed, an MLP is trained. half_frozen: the encoder is fixed, decoder and
    MLP are trained. full: nothing is fixed, UNet and a 1x1 convolution are trained.

    Source: paper 000 section 4.1.2; spec D.5.
    """

    def __init__(
        self,
        unet: UNet2D,
        protocol: Protocol,
        outputs: int,
        mlp_channels: int,
        frozen_batch_norm: Literal["eval", "train"] = "eval",
    ) -> None:
        """Wrap a UNet; the head's initial weights come from torch's global generator.

        Args:
            unet: Pretrained; changed in place by training.
            protocol: What is trained.
            outputs: Channels of the task.
            mlp_channels: Hidden width of the MLP.
            frozen_batch_norm: Whether the fixed part's BatchNorm uses its stored statistics
                (and keeps them), or the batch's. The papers leave it open.
        """
        super().__init__()
        self.unet = unet
        self.protocol = protocol
        self.frozen_batch_norm = frozen_batch_norm
        self.head: nn.Module = (
            PlainHead(unet.feature_channels, outputs)
            if protocol == "full"
            else PixelMLP(unet.feature_channels, mlp_channels, outputs)
        )
        for parameter in self.parameters():
            parameter.requires_grad_(False)
        for module in self.trained_modules():
            for parameter in module.parameters():
                parameter.requires_grad_(True)

    def trained_modules(self) -> list[nn.Module]:
        """Modules that are trained."""
        if self.protocol == "frozen":
            return [self.head]
        return [self.unet if self.protocol == "full" else self.unet.decoder, self.head]

    @property
    def fixed_is_constant(self) -> bool:
        """Whether `fixed` gives the same for an image at every step, so that it can be kept."""
        return self.protocol != "full" and self.frozen_batch_norm == "eval"

    def train(self, mode: bool = True) -> "SplitNetwork":
        """Train mode for the trained part; for the fixed part as `frozen_batch_norm` says."""
        super().train(mode and self.frozen_batch_norm == "train")
        for module in self.trained_modules():
            module.train(mode)
        return self

    def fixed(self, images: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Output of the fixed part: features, encoder stages, or the images themselves."""
        with torch.no_grad():
            if self.protocol == "frozen":
                return [self.unet(images)]
            if self.protocol == "half_frozen":
                return self.unet.encode(images)
        return [images]

    def forward(
        self, inputs: Sequence[Tensor], image_size: tuple[int, int]
    ) -> Float[Tensor, "b c h w"]:
        """Predictions at the images' size from the output of `fixed`.

        Source: spec D.1: half-resolution output, bilinear to the labels with aligned corners.
        """
        if self.protocol == "frozen":
            features = inputs[0]
        elif self.protocol == "half_frozen":
            features = self.unet.decode(inputs, image_size)
        else:
            features = self.unet(inputs[0])
        return resize(self.head(features), image_size)

    def trained_state(self) -> dict[str, Tensor]:
        """Tensors of the trained part, also its BatchNorm statistics, under their full names."""
        prefixes = {"frozen": ("head.",), "half_frozen": ("unet.decoder.", "head.")}
        wanted = prefixes.get(self.protocol, ("unet.", "head."))
        return {name: t for name, t in self.state_dict().items() if name.startswith(wanted)}
