"""PSPNet as Pri3D's code has it: output stride 8, bins 1, 2, 3, 6, an auxiliary loss."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.models.resnet import ResNet
from pipeline.models.segmentation.base import SegmentationNetwork, conv_norm_relu
from pipeline.models.unet import resize

OUTPUT_STRIDE = 8
#: Cells per side of each level of the pyramid.
BINS = (1, 2, 3, 6)
DROPOUT = 0.1
AUXILIARY_WEIGHT = 0.4


class PoolingPyramid(nn.Module):
    """The input beside its means over 1, 4, 9 and 36 parts, each reduced to a quarter.

    Source: Zhao et al. 2017, arXiv 1612.01105, section 3.2.
    """

    def __init__(self, inputs: int):
        """Make a pyramid that returns twice `inputs` channels; these divide by 4."""
        super().__init__()
        reduced = inputs // len(BINS)
        self.levels = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(bins), *conv_norm_relu(inputs, reduced, 1))
            for bins in BINS
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h w"]:
        """Float (B, inputs, H, W) to (B, 2 inputs, H, W)."""
        size = (x.shape[-2], x.shape[-1])
        return torch.cat([x, *(resize(level(x), size) for level in self.levels)], dim=1)


def _classifier(inputs: int, hidden: int, outputs: int) -> list[nn.Module]:
    return [
        *conv_norm_relu(inputs, hidden, 3),
        nn.Dropout2d(DROPOUT),
        nn.Conv2d(hidden, outputs, 1),
    ]


class PSPNet(SegmentationNetwork):
    """Pooling pyramid on the last stage; in training a second classifier on the third.

    Source: Zhao et al. 2017; Pri3D's code (spec D.3): 512 and 256 hidden channels,
        PyTorch's initial weights, the first block of a dilated stage dilated like the others.
    """

    auxiliary_weights = (AUXILIARY_WEIGHT,)

    def __init__(self, outputs: int, encoder: str, width: float, channels: int):
        """Make a randomly initialised network; arguments as of `make_network`."""
        super().__init__(ResNet(encoder, width, OUTPUT_STRIDE, dilated_entry=True))
        *_, third, last = self.encoder.stage_channels
        pyramid = PoolingPyramid(last)
        self.head = nn.Sequential(pyramid, *_classifier(2 * last, 2 * channels, outputs))
        self.auxiliary = nn.Sequential(*_classifier(third, channels, outputs))

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b outputs h w"]]:
        """Compute predictions.

        Args:
            images: float (B, 3, H, W), ImageNet-normalised RGB.

        Returns:
            Floats (B, outputs, H, W): the prediction and, in train mode, the third stage's.
        """
        *_, third, last = self.encoder(images)
        predictions = [self.head(last)]
        if self.training:
            predictions.append(self.auxiliary(third))
        size = (images.shape[-2], images.shape[-1])
        return [resize(prediction, size) for prediction in predictions]
