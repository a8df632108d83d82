"""MoCo v2's geometric augmentation of one image, in plain torch."""

import math

import torch
from jaxtyping import Float
from torch.nn import functional

#: Width by height of a crop, before it is made square.
ASPECT = (3 / 4, 4 / 3)
#: Draws of a crop before the whole image is taken.
TRIES = 10
P_FLIP = 0.5


def uniform(low: float, high: float, generator: torch.Generator) -> float:
    """One number between two."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def draw_crop(
    size: tuple[int, int], scale: tuple[float, float], generator: torch.Generator
) -> tuple[int, int, int, int]:
    """A window of random area, aspect and place.

    Args:
        size: height, width of the image, pixels.
        scale: least and greatest area, share of the image's.
        generator: The only source of randomness.

    Returns:
        top, left, height, width, pixels; where no draw fits, the largest centred window whose
        aspect is allowed.

    Source: torchvision's RandomResizedCrop, of which MoCo v2 uses the default aspects.
    """
    height, width = size
    for _ in range(TRIES):
        area = height * width * uniform(scale[0], scale[1], generator)
        aspect = math.exp(uniform(math.log(ASPECT[0]), math.log(ASPECT[1]), generator))
        h, w = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < h <= height and 0 < w <= width:
            top = int(torch.randint(height - h + 1, (), generator=generator))
            left = int(torch.randint(width - w + 1, (), generator=generator))
            return top, left, h, w
    h, w = min(height, round(width / ASPECT[0])), min(width, round(height * ASPECT[1]))
    return (height - h) // 2, (width - w) // 2, h, w


def random_crop(
    image: Float[torch.Tensor, "3 h w"],
    side: int,
    scale: tuple[float, float],
    generator: torch.Generator,
) -> Float[torch.Tensor, "3 _side _side"]:
    """A random window, resized to a square, and mirrored half of the time.

    Args:
        image: float (3, H, W).
        side: Of the square, pixels.
        scale: See `draw_crop`.
        generator: The only source of randomness.

    Returns:
        float (3, side, side), resized bilinearly with antialiasing, as PIL does for torchvision.

    Source: Chen et al. 2020 (MoCo v2): RandomResizedCrop, horizontal flip p 0.5.
    """
    top, left, height, width = draw_crop((image.shape[-2], image.shape[-1]), scale, generator)
    window = image[None, :, top : top + height, left : left + width]
    crop = functional.interpolate(
        window, (side, side), mode="bilinear", align_corners=False, antialias=True
    )[0]
    return crop.flip(-1) if uniform(0.0, 1.0, generator) < P_FLIP else crop
