"""Pri3D's colour augmentation of one image, in plain torch (no geometric augmentation there).

Source: spec A.7; torchvision's ColorJitter and MoCo v2's blur. It is off by default, because
paper 000 section 3.1 says that VIEW does not rely on it (spec F.1 item 4).
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float

Image = Float[torch.Tensor, "3 h w"]

_GRAY = (0.299, 0.587, 0.114)
JITTER = 0.4
HUE = 0.1
P_JITTER, P_GRAYSCALE, P_BLUR = 0.8, 0.2, 0.5
BLUR_SIGMA_PX = (0.1, 2.0)


def _blend(image: torch.Tensor, other: torch.Tensor, factor: float) -> torch.Tensor:
    return (factor * image + (1 - factor) * other).clamp(0, 1)


def grayscale(image: Image) -> Image:
    """Luma (ITU-R 601) in all three channels."""
    weights = torch.tensor(_GRAY, dtype=image.dtype, device=image.device).view(3, 1, 1)
    return (image * weights).sum(dim=0, keepdim=True).expand(3, -1, -1)


def adjust_brightness(image: Image, factor: float) -> Image:
    """Blend with black."""
    return _blend(image, torch.zeros_like(image), factor)


def adjust_contrast(image: Image, factor: float) -> Image:
    """Blend with the image's mean luma."""
    return _blend(image, grayscale(image).mean().expand_as(image), factor)


def adjust_saturation(image: Image, factor: float) -> Image:
    """Blend with the image's luma."""
    return _blend(image, grayscale(image), factor)


def adjust_hue(image: Image, shift: float) -> Image:
    """Turn the hue by `shift` of a full circle, keeping HSV saturation and value."""
    value, _ = image.max(dim=0)
    chroma = value - image.min(dim=0).values
    safe = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    red, green, blue = image
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    turned = hue + 6 * shift
    # Channel = value - chroma * clamp(min(k, 4 - k), 0, 1) with k = (offset + 6 hue) mod 6.
    offsets = torch.tensor([5.0, 3.0, 1.0], dtype=image.dtype, device=image.device).view(3, 1, 1)
    k = (offsets + turned).remainder(6)
    return value - chroma * torch.minimum(k, 4 - k).clamp(0, 1)


def gaussian_blur(image: Image, sigma_px: float) -> Image:
    """Separable Gaussian blur, cut at three sigma, with mirrored borders."""
    radius = min(max(1, math.ceil(3 * sigma_px)), min(image.shape[-2:]) - 1)
    offsets = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-0.5 * (offsets / sigma_px) ** 2)
    kernel = kernel / kernel.sum()
    padded = torch.nn.functional.pad(image[:, None], (radius,) * 4, mode="reflect")
    rows = torch.nn.functional.conv2d(padded, kernel.view(1, 1, -1, 1))
    return torch.nn.functional.conv2d(rows, kernel.view(1, 1, 1, -1))[:, 0]


def augment_colour(image: Image, generator: torch.Generator) -> Image:
    """Random colour jitter, grayscale and blur.

    Args:
        image: float32 (3, H, W), RGB in [0, 1], before normalisation.
        generator: The only source of randomness; each view has its own draws.

    Returns:
        float32 (3, H, W), RGB in [0, 1].

    Source: spec A.7: ColorJitter(0.4, 0.4, 0.4, 0.1) p 0.8, grayscale p 0.2, blur p 0.5.
    """

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    adjustments: list[tuple[Callable[[torch.Tensor, float], torch.Tensor], float, float]] = [
        (adjust_brightness, 1 - JITTER, 1 + JITTER),
        (adjust_contrast, 1 - JITTER, 1 + JITTER),
        (adjust_saturation, 1 - JITTER, 1 + JITTER),
        (adjust_hue, -HUE, HUE),
    ]
    if uniform(0.0, 1.0) < P_JITTER:
        for index in torch.randperm(len(adjustments), generator=generator).tolist():
            adjust, low, high = adjustments[index]
            image = adjust(image, uniform(low, high))
    if uniform(0.0, 1.0) < P_GRAYSCALE:
        image = grayscale(image)
    if uniform(0.0, 1.0) < P_BLUR:
        image = gaussian_blur(image, uniform(*BLUR_SIGMA_PX))
    return image
