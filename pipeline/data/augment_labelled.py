"""Augmentation of labelled frames for DeepLab and PSPNet: blur and flip, in plain torch."""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from pipeline.data.labelled import LabelledBatch

#: OpenCV's Gaussian of 5 pixels when no sigma is given.
_KERNEL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
P_BLUR, P_FLIP = 0.5, 0.5


def blur(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Gaussian blur of 5 x 5 pixels with mirrored borders; the same before and after a shift.

    Source: Pri3D's code (spec D.2): cv2.GaussianBlur(image, (5, 5), 0).
    """
    channels = images.shape[1]
    kernel = images.new_tensor(_KERNEL).view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    padded = functional.pad(images, (2, 2, 2, 2), mode="reflect")
    rows = functional.conv2d(padded, kernel, groups=channels)
    return functional.conv2d(rows, kernel.transpose(2, 3), groups=channels)


def augment_labelled(batch: LabelledBatch) -> LabelledBatch:
    """Blur the image, flip image, depth and label from left to right, each for half the frames.

    Args:
        batch: Normalised images: a kernel of sum 1 commutes with that.

    Returns:
        The changed batch; which frames are changed is drawn from torch's global generator.

    Source: Pri3D's code (spec D.2, D.3): blur p 0.5, then flip p 0.5. Deviation: on the image of
        training size; the code blurs before it resizes.
    """

    def chosen(probability: float) -> Bool[Tensor, " b"]:
        return (torch.rand(len(batch.keys)) < probability).to(batch.images.device)

    blurred, flipped = chosen(P_BLUR), chosen(P_FLIP)
    images = torch.where(blurred.view(-1, 1, 1, 1), blur(batch.images), batch.images)
    return replace(
        batch,
        images=torch.where(flipped.view(-1, 1, 1, 1), images.flip(-1), images),
        depth=torch.where(flipped.view(-1, 1, 1), batch.depth.flip(-1), batch.depth),
        label=torch.where(flipped.view(-1, 1, 1), batch.label.flip(-1), batch.label),
    )
