"""The depth proxy loss, "+d"."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

#: Horizontal Sobel kernel; the vertical one is its transpose.
SOBEL = ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0))


def sobel(depth: Float[Tensor, "b h w"]) -> Float[Tensor, "b 2 h w"]:
    """Unnormalised 3x3 Sobel gradients along u and v, with zeros around the image."""
    along_u = torch.tensor(SOBEL, dtype=depth.dtype, device=depth.device)
    kernels = torch.stack([along_u, along_u.T])[:, None]
    return functional.conv2d(depth[:, None], kernels, padding=1)


def depth_proxy(
    predicted: Float[Tensor, "b h w"],
    target: Float[Tensor, "b h w"],
    alpha_m: float = 0.5,
    combine: Literal["mean", "sum"] = "mean",
) -> Float[Tensor, ""]:
    """Compare depth, its gradients and its normals.

    With e the difference of two maps and the mean over all pixels that have a target: depth
    mean log(|e_d| + alpha); gradient mean log(|e_u| + alpha) + mean log(|e_v| + alpha), of Sobel
    gradients; normal mean |1 - cos(n, n*)| with n = (-G_u, -G_v, 1). A perfect prediction gives
    3 log(alpha), divided by 3 for the mean: negative values are normal.

    Args:
        predicted: float (B, H, W), metres.
        target: float (B, H, W), metres; 0 is missing. Only the pixel itself is masked, so the
            target's gradients beside missing pixels contain the step to 0, as in the code.
        alpha_m: above 0, added to the differences before the logarithm.
        combine: of the three terms, their mean (Pri3D's code) or sum (Hu et al.).

    Returns:
        Scalar loss; 0, still attached to the graph, if no pixel has a target.

    Raises:
        ValueError: `alpha_m` is not positive.

    Source: Hu et al. 2019, Eqs. 2-5, as in Pri3D's code (spec C.5).
    """
    if not alpha_m > 0:
        raise ValueError(f"alpha_m must be positive, is {alpha_m}")
    slope, slope_target = sobel(predicted), sobel(target)
    errors = torch.cat([(predicted - target)[:, None], slope - slope_target], dim=1)
    logarithms = (errors.abs() + alpha_m).log()
    up = torch.ones_like(predicted)[:, None]
    normal, normal_target = (torch.cat([-each, up], dim=1) for each in (slope, slope_target))
    tilt = (1 - functional.cosine_similarity(normal, normal_target, dim=1)).abs()
    valid = target != 0
    terms = (logarithms.sum(dim=1) + tilt) * valid
    total = terms.sum() / valid.sum().clamp(min=1)
    return total / 3 if combine == "mean" else total
