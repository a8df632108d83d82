"""DeepLabV3 and DeepLabV3+ as Pri3D's code has them: output stride 16, rates 6, 12, 18."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.resnet import ResNet
from pipeline.models.segmentation.base import SegmentationNetwork, conv_norm_relu

OUTPUT_STRIDE = 16
#: Dilations of the pyramid at this output stride.
RATES = (6, 12, 18)
DROPOUT = 0.1


def _resize(x: Float[Tensor, "b c _h _w"], like: Tensor) -> Float[Tensor, "b c _h2 _w2"]:
    """Bilinear resizing to the size of `like`, corners not aligned (unlike Pri3D's UNet)."""
    size = (like.shape[-2], like.shape[-1])
    return functional.interpolate(x, size, mode="bilinear", align_corners=False)


class AtrousPyramid(nn.Module):
    """Atrous spatial pyramid pooling: a 1x1, three dilated 3x3 and a global branch.

    Source: Chen et al. 2017 (DeepLabV3) section 3.3; dropout 0.1 as Pri3D's code (spec D.2).
    """

    def __init__(self, inputs: int, outputs: int):
        """Make a pyramid whose branches and output have `outputs` channels."""
        super().__init__()
        self.local = nn.ModuleList(
            [
                nn.Sequential(*conv_norm_relu(inputs, outputs, 1)),
                *(nn.Sequential(*conv_norm_relu(inputs, outputs, 3, rate)) for rate in RATES),
            ]
        )
        self.image = nn.Sequential(nn.AdaptiveAvgPool2d(1), *conv_norm_relu(inputs, outputs, 1))
        branches = len(self.local) + 1
        self.project = nn.Sequential(
            *conv_norm_relu(branches * outputs, outputs, 1), nn.Dropout(DROPOUT)
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h w"]:
        """Float (B, inputs, H, W) to (B, outputs, H, W)."""
        image = self.image(x).expand(-1, -1, *x.shape[-2:])
        return self.project(torch.cat([*(branch(x) for branch in self.local), image], dim=1))


def _initialise(module: nn.Module) -> None:
    """Kaiming's normal weights by the number of inputs, for what stands on the encoder."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight)


class DeepLabV3(SegmentationNetwork):
    """Pyramid on the last stage, a 3x3 convolution, a linear classifier.

    Source: Chen et al. 2017, arXiv 1706.05587; Pri3D's code (spec D.2): 256 channels.
    """

    def __init__(self, outputs: int, encoder: str, width: float, channels: int):
        """Make a randomly initialised network; arguments as of `make_network`."""
        super().__init__(ResNet(encoder, width, OUTPUT_STRIDE))
        self.head = nn.Sequential(
            AtrousPyramid(self.encoder.stage_channels[-1], channels),
            *conv_norm_relu(channels, channels, 3),
            nn.Conv2d(channels, outputs, 1),
        )
        self.head.apply(_initialise)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b outputs h w"]]:
        """Images (B, 3, H, W), ImageNet-normalised, to one prediction (B, outputs, H, W)."""
        return [_resize(self.head(self.encoder(images)[-1]), images)]


class DeepLabV3Plus(SegmentationNetwork):
    """DeepLabV3 whose pyramid is joined with the first stage before the classifier.

    Source: Chen et al. 2018, arXiv 1802.02611; Pri3D's code (spec D.2): 48 channels of the
        first stage beside 256 of the pyramid, one 3x3 convolution after the joint, not separable.
    """

    def __init__(self, outputs: int, encoder: str, width: float, channels: int):
        """Make a randomly initialised network; arguments as of `make_network`."""
        super().__init__(ResNet(encoder, width, OUTPUT_STRIDE))
        low = 3 * channels // 16
        first, *_, last = self.encoder.stage_channels
        self.pyramid = AtrousPyramid(last, channels)
        self.low_level = nn.Sequential(*conv_norm_relu(first, low, 1))
        self.head = nn.Sequential(
            *conv_norm_relu(low + channels, channels, 3), nn.Conv2d(channels, outputs, 1)
        )
        for part in (self.pyramid, self.low_level, self.head):
            part.apply(_initialise)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b outputs h w"]]:
        """Images (B, 3, H, W), ImageNet-normalised, to one prediction (B, outputs, H, W)."""
        first, *_, last = self.encoder(images)
        low = self.low_level(first)
        return [_resize(self.head(torch.cat([low, _resize(self.pyramid(last), low)], 1)), images)]
