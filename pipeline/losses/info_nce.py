"""PointInfoNCE, the contrastive loss of VIEW and GEO."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

#: Largest logit, 1 / tau, whose exponential float32 holds with room to spare, as that of its
#: negative.
_MAX_LOGIT = 30.0


def _log_partitions(logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Log of the sums of exponentials along rows and along columns.

    Logits are cosines over tau, at most 1 / tau, so no maximum has to be looked for, and one
    exponential serves both sums and their gradients: half the time of two calls of logsumexp.
    """
    if 1 / temperature > _MAX_LOGIT:
        return logits.logsumexp(-1), logits.logsumexp(-2)
    exponentials = logits.exp()
    return exponentials.sum(-1).log(), exponentials.sum(-2).log()


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
    a = a / temperature
    of_rows, of_columns = _log_partitions(a @ b.mT, temperature)
    partition = (of_rows + of_columns) / 2 if symmetric else of_rows
    return torch.mean(partition - (a * b).sum(dim=-1))
