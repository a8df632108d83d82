"""Heads on the UNet's features; `resize` brings what they return to the labels' size."""

from jaxtyping import Float
from torch import Tensor, nn

from pipeline.models.unet import resize

__all__ = ["EmbeddingHead", "PixelMLP", "PlainHead", "resize"]


class PlainHead(nn.Conv2d):
    """1x1 convolution with bias: the head of full finetuning (spec D.5)."""

    def __init__(self, inputs: int, outputs: int):
        """Make a head from `inputs` to `outputs` channels, PyTorch's default initial weights."""
        super().__init__(inputs, outputs, kernel_size=1)


class EmbeddingHead(PlainHead):
    """Pri3D's pretraining head, a 1x1 convolution with bias, discarded afterwards (spec C.1)."""


class PixelMLP(nn.Sequential):
    """The per-pixel MLP of frozen and half-frozen finetuning.

    Source: paper 000 section 4.1.2 (spec D.5): 1x1 convolution to 128, ReLU, BatchNorm, 1x1
        convolution to the task's channels.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int):
        """Make an MLP from `inputs` over `hidden` (paper: 128) to `outputs` channels."""
        super().__init__(
            nn.Conv2d(inputs, hidden, kernel_size=1),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(hidden),
            nn.Conv2d(hidden, outputs, kernel_size=1),
        )

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b outputs h w"]:
        """Float (B, C, H, W) to (B, outputs, H, W)."""
        return super().forward(features)
