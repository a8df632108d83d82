"""Images as network inputs."""

import numpy as np
import torch
from jaxtyping import Float, UInt8

#: Mean and standard deviation of ImageNet's RGB in [0, 1], as torchvision's weights expect.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def _channels(values: tuple[float, float, float], like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(3, 1, 1)


def to_unit_range(color: UInt8[np.ndarray, "*b h w 3"]) -> Float[torch.Tensor, "*b 3 h w"]:
    """uint8 (..., H, W, 3) RGB -> float32 (..., 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(color, -1, -3))).float().div_(255)


def normalise(images: Float[torch.Tensor, "*b 3 h w"]) -> Float[torch.Tensor, "*b 3 h w"]:
    """RGB in [0, 1] -> ImageNet-normalised RGB.

    Source: spec A.7.
    """
    return (images - _channels(IMAGENET_MEAN, images)).div_(_channels(IMAGENET_STD, images))


def denormalise(images: Float[torch.Tensor, "*b 3 h w"]) -> Float[torch.Tensor, "*b 3 h w"]:
    """Inverse of `normalise`."""
    return images * _channels(IMAGENET_STD, images) + _channels(IMAGENET_MEAN, images)
