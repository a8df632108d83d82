"""Pri3D's 2D UNet: a ResNet encoder and a decoder of four up-projection blocks."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.resnet import ResNet


def resize(
    x: Float[Tensor, "b c _h _w"], size: tuple[int, int]
) -> Float[Tensor, "b c _height _width"]:
    """Bilinear resizing of float (B, C, h, w) to `size` (height, width), corners aligned.

    Source: Pri3D's code, in the decoder and from the heads to the labels (spec C.1, D.1).
    """
    return functional.interpolate(x, size, mode="bilinear", align_corners=True)


class UpProjection(nn.Module):
    """Resize, then a residual block of 5x5 and 3x3 beside 5x5 convolutions (spec C.1)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.branch_a = nn.Sequential(
            nn.Conv2d(inputs, outputs, 5, padding=2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.branch_b = nn.Sequential(
            nn.Conv2d(inputs, outputs, 5, padding=2, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(
        self, x: Float[Tensor, "b c h w"], size: tuple[int, int]
    ) -> Float[Tensor, "b c2 h2 w2"]:
        """Float (B, C, h, w) to (B, outputs, *size)."""
        x = resize(x, size)
        return functional.relu(self.branch_a(x) + self.branch_b(x))


class Decoder(nn.Module):
    """Four up-projections, the first three followed by adding the encoder's stage."""

    def __init__(self, stage_channels: Sequence[int], feature_channels: int):
        super().__init__()
        widths = [*reversed(stage_channels), feature_channels]
        self.blocks = nn.ModuleList(
            UpProjection(inputs, outputs) for inputs, outputs in pairwise(widths)
        )

    def forward(
        self, stages: Sequence[Float[Tensor, "b _c _h _w"]], size: tuple[int, int]
    ) -> Float[Tensor, "b features height width"]:
        """Encoder stages, fine to coarse, to features (B, feature_channels, *size)."""
        x = stages[-1]
        for block, skip in zip(self.blocks, reversed(stages[:-1]), strict=False):
            x = block(x, (skip.shape[-2], skip.shape[-1])) + skip
        return self.blocks[-1](x, size)


class UNet2D(nn.Module):
    """Images to a feature map of half their size; heads are separate modules.

    Attributes:
        encoder: the `ResNet`.
        decoder: the `Decoder`.
        feature_channels: channels of the features.
        settings: the constructor's arguments, for a checkpoint's metadata.
    """

    def __init__(
        self, encoder: str = "resnet50", width: float = 1.0, feature_channels: int | None = None
    ):
        """Make a randomly initialised UNet (torch's global generator).

        Args:
            encoder: `resnet18`, `resnet34` or `resnet50`.
            width: factor on every channel count (see `ResNet`).
            feature_channels: channels of the last block; None: half those of the first encoder
                stage, as Pri3D (128 for ResNet-50, 32 for ResNet-18 at width 1).

        Raises:
            ValueError: unknown encoder, or a width that is not positive.

        Source: Pri3D's code (spec C.1); decoder weights start from PyTorch's defaults.
        """
        super().__init__()
        self.settings: dict[str, Any] = {
            "encoder": encoder,
            "width": width,
            "feature_channels": feature_channels,
        }
        self.encoder = ResNet(encoder, width)
        self.feature_channels = feature_channels or self.encoder.stage_channels[0] // 2
        self.decoder = Decoder(self.encoder.stage_channels, self.feature_channels)

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """Images (B, 3, H, W), ImageNet-normalised, to the encoder's four stages."""
        return self.encoder(images)

    def decode(
        self, stages: Sequence[Float[Tensor, "b _c _h _w"]], image_size: tuple[int, int]
    ) -> Float[Tensor, "b features height width"]:
        """Compute features from the encoder's stages.

        Args:
            stages: what `encode` returned.
            image_size: height, width of the images.

        Returns:
            Float (B, feature_channels, ceil(H / 2), ceil(W / 2)).

        Source: Pri3D's code (spec C.1), which takes twice the size of the first stage; the same
            for sizes divisible by 4, and one row or column less than that for some others.
        """
        height, width = image_size
        return self.decoder(stages, ((height + 1) // 2, (width + 1) // 2))

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b features _h2 _w2"]:
        """Images (B, 3, H, W), ImageNet-normalised, to features as `decode` returns them."""
        return self.decode(self.encode(images), (images.shape[-2], images.shape[-1]))
