"""Set-InfoNCE, the contrastive loss over geometric consistency sets."""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence


def set_info_nce(
    features: Float[Tensor, "n d"],
    row: Int64[Tensor, " m"],
    share: Float[Tensor, " m"],
    first: Int64[Tensor, " s2"],
    chosen: Int64[Tensor, " s2"],
    pair: Int64[Tensor, " s"],
    identity: Int64[Tensor, " s"],
    temperature: float,
    aggregation: Literal["mean", "asymmetric"] = "mean",
    renormalise: bool = False,
    symmetric: bool = True,
    negatives: Literal["pair", "batch"] = "pair",
    epsilon: float = 1e-6,
) -> Float[Tensor, ""]:
    """Contrast matched sets of pixels with the other sets of the other view.

    A set P_i that both views m, n of a frame pair see is the positive of itself: its feature F in
    view m is the anchor, that in view n the positive, and the features in view n of the other
    sets that both views see are the negatives. The loss is the mean over all S matched sets.

    Args:
        features: float (N, D), not normalised; a feature map of all views, one row a cell.
        row: int64 (M,), the row of `features` that pixels of a set fall on; sets follow each
            other, the S in views a first, then the same S in views b.
        share: float (M,), share of the set's pixels that fall on this row; sums to 1 per set.
        first: int64 (2S,), where in `row` each set begins; none is empty.
        chosen: int64 (2S,), the row of `features` of one arbitrary pixel of each set.
        pair: int64 (S,), ascending, the frame pair of each matched set.
        identity: int64 (S,), not negative, equal for one set of one scene that several pairs see.
        temperature: tau, above 0; similarities are divided by it.
        aggregation: F is the mean over the set's pixels; `asymmetric`: F of the anchor and of the
            negatives is the feature of the one pixel `chosen`, F of the positive the mean.
        renormalise: divide the mean of the normalised features by its own L2 norm.
        symmetric: average a-to-b and b-to-a, or a-to-b only (Eq. 3).
        negatives: the other sets of the same pair, or of the whole batch; what another pair sees
            of the set itself is no negative.
        epsilon: smallest L2 norm that features are divided by, so that a zero vector gives
            similarity 0 and a bounded gradient instead of NaN.

    Returns:
        Scalar loss; 0, still attached to the graph, if there are no sets.

    Raises:
        ValueError: `temperature` is not positive.

    Source: paper 001 Eqs. 2-3 and section 5.2. Eq. 3's denominator runs over (k, l, .) in M_s with
        the view l left free; with l = m it would hold the anchor itself (k = i) and not the
        positive. It is read as Eqs. 1 and 2 are, with l = n: the positive and the other sets k
        that are matched in this pair, in the view of the positive. So the fraction is a
        probability, and in `asymmetric` the positive stands in the denominator as in the
        numerator, as a mean. Deviations: mean instead of sum, and both directions, as Pri3D's
        code does with Eq. 1 (spec B.2, C.4).
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, is {temperature}")
    if not len(pair):
        return 0 * features.sum()
    normalised = functional.normalize(features, dim=-1, eps=epsilon)
    # The gather and the weighted sum in one, whose backward sums in a fixed order on GPUs, too.
    mean = functional.embedding_bag(
        row, normalised, first, mode="sum", per_sample_weights=share.to(features.dtype)
    )
    if renormalise:
        mean = functional.normalize(mean, dim=-1, eps=epsilon)
    compared = normalised[chosen] if aggregation == "asymmetric" else mean
    sizes = [len(pair)]
    if negatives == "pair":
        sizes = torch.unique_consecutive(pair, return_counts=True)[1].tolist()
    # Sets that are compared with each other stand in one block. The zeros that fill a block up have
    # no negatives and a logit of 0, so they add 0.
    known = pad_sequence(identity.split(sizes), batch_first=True, padding_value=-1)
    one, other = known[:, :, None], known[:, None, :]
    is_negative = (one != other) & (torch.minimum(one, other) >= 0)
    mean_a, mean_b, compared_a, compared_b = (
        pad_sequence(view.split(sizes), batch_first=True)
        for view in (*mean.chunk(2), *compared.chunk(2))
    )
    loss = _one_way(compared_a, mean_b, compared_b, is_negative, temperature)
    if symmetric:
        loss = (loss + _one_way(compared_b, mean_a, compared_a, is_negative, temperature)) / 2
    return loss / len(pair)


def _one_way(
    anchor: Float[Tensor, "blocks s d"],
    positive: Float[Tensor, "blocks s d"],
    negative: Float[Tensor, "blocks s d"],
    is_negative: Bool[Tensor, "blocks s s"],
    temperature: float,
) -> Float[Tensor, ""]:
    """Sum of -log(exp(anchor . positive) / (the same + sum of exp(anchor . negative)))."""
    positives = (anchor * positive).sum(dim=-1) / temperature
    logits = (anchor @ negative.mT / temperature).masked_fill(~is_negative, -torch.inf)
    partition = torch.diagonal_scatter(logits, positives, dim1=-2, dim2=-1).logsumexp(dim=-1)
    return torch.sum(partition - positives)
