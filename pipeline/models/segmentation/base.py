"""What all segmentation networks share: a dilated encoder, and predictions at the images' size."""

from jaxtyping import Float
from torch import Tensor, nn

from pipeline.models.resnet import ResNet


class SegmentationNetwork(nn.Module):
    """An encoder and what a subclass puts on it.

    Attributes:
        encoder: the `ResNet`; the weights of an encoder of output stride 32 fit it.
        auxiliary_weights: weight in the training loss of each prediction after the first.
    """

    auxiliary_weights: tuple[float, ...] = ()

    def __init__(self, encoder: ResNet):
        """Store the encoder."""
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b outputs h w"]]:
        """Compute predictions.

        Args:
            images: float (B, 3, H, W), ImageNet-normalised RGB.

        Returns:
            Floats (B, outputs, H, W): the prediction and, in train mode, the auxiliary ones.
        """
        raise NotImplementedError


def conv_norm_relu(
    inputs: int, outputs: int, kernel_size: int, dilation: int = 1
) -> list[nn.Module]:
    """A convolution that keeps the size, without bias, BatchNorm and ReLU."""
    padding = dilation * (kernel_size // 2)
    return [
        nn.Conv2d(inputs, outputs, kernel_size, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]
