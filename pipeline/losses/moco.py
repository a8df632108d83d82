"""InfoNCE against a queue, the contrastive loss of MoCo."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def queue_info_nce(
    queries: Float[Tensor, "b d"],
    keys: Float[Tensor, "b d"],
    queue: Float[Tensor, "k d"],
    temperature: float,
) -> Float[Tensor, ""]:
    """Tell each query's own key from all keys of a queue.

    Row i of `queries` and row i of `keys` are two views of one image (the positive); the rows of
    `queue` are the negatives of all queries. The other keys of the batch take no part.

    Args:
        queries: float (B, D), of length 1.
        keys: float (B, D), of length 1; no gradient flows to them.
        queue: float (K, D), of length 1, keys of earlier batches.
        temperature: tau, above 0; cosine similarities are divided by it.

    Returns:
        Scalar loss, the mean over the queries; 0, still attached to the graph, if there are none.

    Raises:
        ValueError: `temperature` is not positive.

    Source: He et al. 2020, Eq. 1.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, is {temperature}")
    if not len(queries):
        return 0 * queries.sum()
    positives = (queries * keys.detach()).sum(dim=1, keepdim=True)
    logits = torch.cat([positives, queries @ queue.T], dim=1) / temperature
    first = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    return functional.cross_entropy(logits, first)
