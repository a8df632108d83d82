"""Segmentation networks other than the UNet. A new one is a module and a line in `NETWORKS`."""

from collections.abc import Callable

from pipeline.models.segmentation.base import SegmentationNetwork
from pipeline.models.segmentation.deeplab import DeepLabV3, DeepLabV3Plus
from pipeline.models.segmentation.pspnet import PSPNet

#: Name in params.yaml -> network of so many outputs on an encoder, with heads so wide.
NETWORKS: dict[str, Callable[[int, str, float, int], SegmentationNetwork]] = {
    "deeplabv3": DeepLabV3,
    "deeplabv3plus": DeepLabV3Plus,
    "pspnet": PSPNet,
}


def make_network(
    name: str, outputs: int, encoder: str = "resnet50", width: float = 1.0, channels: int = 256
) -> SegmentationNetwork:
    """Make a randomly initialised network (torch's global generator).

    Args:
        name: Key of `NETWORKS`.
        outputs: Channels of the prediction.
        encoder: Key of `pipeline.models.resnet.ENCODERS`.
        width: Factor on every channel count of the encoder, as of `ResNet`.
        channels: Of DeepLab's heads; PSPNet's has twice as many. Published: 256.

    Raises:
        ValueError: unknown name or encoder, or a width that is not positive.
    """
    if name not in NETWORKS:
        raise ValueError(f"no segmentation network {name!r}; known: {', '.join(NETWORKS)}")
    return NETWORKS[name](outputs, encoder, width, channels)
