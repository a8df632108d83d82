"""PointInfoNCE, the contrastive loss of VIEW and GEO."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def point_info_nce(
    a: Float[Tensor, "*pairs matches channels"],
    b: Float[Tensor, "*pairs matches channels"],
    temperature: float,
    symmetric: bool = True,
    negatives: Literal["pair", "batch"] = "pair",
    epsilon: float = 1e-6,
) -> Float[Tensor, ""]:
    """Contrast matched embeddings with those of all other matches.

    Row i of `a` and row i of `b` belong to one place (the positive); the other rows of `b` are
    the negatives of row i of `a`. The loss is the mean over all rows of all pairs.

    Args:
        a: float (..., N, D), embeddings of N matches; leading axes count frame pairs.
        b: float, of the same shape, the embeddings matched with `a`.
        temperature: tau, above 0; cosine similarities are divided by it.
        symmetric: average a-to-b and b-to-a (Pri3D's code), or a-to-b only (Eq. 1).
        negatives: from the match's own pair only, or from all pairs of the batch.
        epsilon: smallest L2 norm that embeddings are divided by, so that a zero vector gives
            similarity 0 and a bounded gradient instead of NaN.

    Returns:
        Scalar loss; 0, still attached to the graph, if there are no rows.

    Raises:
        ValueError: `temperature` is not positive.

    Source: paper 000 Eq. 1, paper 001 Eq. 1; Pri3D's code for mean, symmetry and negatives (spec
        C.4). Deviation: `epsilon` (the code divides by the bare norm).
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, is {temperature}")
    if a[..., 0].numel() == 0:
        return 0 * (a.sum() + b.sum())
    if negatives == "batch":
        a, b = a.flatten(0, -2), b.flatten(0, -2)
    a = functional.normalize(a, dim=-1, eps=epsilon)
    b = functional.normalize(b, dim=-1, eps=epsilon)
    logits = a @ b.mT / temperature
    positives = logits.diagonal(dim1=-2, dim2=-1)
    partition = logits.logsumexp(dim=-1)
    if symmetric:
        partition = (partition + logits.logsumexp(dim=-2)) / 2
    return torch.mean(partition - positives)
