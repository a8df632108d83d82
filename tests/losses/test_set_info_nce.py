"""Set-InfoNCE against Eq. 3 written out, values known by hand, and its limits."""

import math
from itertools import product

import numpy as np
import pytest
import torch

from pipeline.losses.info_nce import point_info_nce
from pipeline.losses.set_info_nce import set_info_nce

TEMPERATURE = 0.4


class Sets:
    """Sets of pixels of several frame pairs on small maps.

    Attributes:
        features: float64 (N, D), rows of all maps.
        pixels: pixels[view][i]: the row that each pixel of set i falls on; rows repeat.
    """

    def __init__(self, sizes, n_rows=40, dim=4, pairs=None, identity=None, seed=0):
        rng = np.random.default_rng(seed)
        self.features = torch.from_numpy(rng.normal(size=(n_rows, dim)))
        self.pixels = [[rng.integers(0, n_rows, size) for size in view] for view in sizes]
        n_sets = len(sizes[0])
        self.pair = list(pairs or [0] * n_sets)
        self.identity = list(identity or range(n_sets))
        self.chosen = [[int(rng.choice(rows)) for rows in view] for view in self.pixels]

    def arguments(self):
        rows, shares = [], []
        for pixels in (*self.pixels[0], *self.pixels[1]):
            row, count = np.unique(pixels, return_counts=True)
            rows.append(row)
            shares.append(count / len(pixels))
        sizes = [len(row) for row in rows]
        first = np.cumsum([0, *sizes[:-1]]) if sizes else []

        def tensor(values, dtype=torch.int64):
            return torch.tensor(np.array(values), dtype=dtype)

        return (
            tensor(np.concatenate([*rows, []])),
            tensor(np.concatenate([*shares, []]), torch.float32),
            tensor(first),
            tensor(self.chosen).reshape(-1),
            tensor(self.pair),
            tensor(self.identity),
        )

    def loss(self, features=None, **options):
        features = self.features if features is None else features
        return set_info_nce(features, *self.arguments(), TEMPERATURE, **options)


def normalised(vector):
    return vector / math.sqrt(sum(float(x) ** 2 for x in vector))


def equation_3(sets, aggregation, renormalise, negatives, m=0, n=1):
    """-log(exp(F(P_i^m) F(P_i^n) / tau) / sum_k exp(F(P_i^m) F(P_k^n) / tau)), mean over i."""

    def mean(i, view):
        pixels = sets.pixels[view][i]
        total = np.zeros(sets.features.shape[1])
        for row in pixels:
            total += normalised(sets.features[row].numpy())
        total /= len(pixels)
        return normalised(total) if renormalise else total

    def arbitrary(i, view):
        return normalised(sets.features[sets.chosen[view][i]].numpy())

    compared = mean if aggregation == "mean" else arbitrary
    total = 0.0
    for i in range(len(sets.pair)):
        positive = math.exp(np.dot(compared(i, m), mean(i, n)) / TEMPERATURE)
        denominator = positive
        for k in range(len(sets.pair)):
            same = sets.pair[i] == sets.pair[k]
            if negatives == "pair" and not same:
                continue
            if sets.identity[i] == sets.identity[k]:
                continue
            denominator += math.exp(np.dot(compared(i, m), compared(k, n)) / TEMPERATURE)
        total -= math.log(positive / denominator)
    return total / len(sets.pair)


def three_pairs():
    """Pairs of 3, 1 and 4 sets, of sizes 1 to 9; sets 0 and 4 are one, seen by two pairs."""
    sizes = [[5, 1, 3, 7, 2, 9, 1, 4], [2, 6, 1, 3, 8, 1, 1, 5]]
    return Sets(sizes, pairs=[0, 0, 0, 1, 2, 2, 2, 2], identity=[7, 1, 2, 3, 7, 5, 6, 4])


OPTIONS = list(product(("mean", "asymmetric"), (False, True), ("pair", "batch")))


@pytest.mark.parametrize(("aggregation", "renormalise", "negatives"), OPTIONS)
def test_equals_equation_3(aggregation, renormalise, negatives):
    sets = three_pairs()
    options = {"aggregation": aggregation, "renormalise": renormalise, "negatives": negatives}
    there, back = (equation_3(sets, **options, m=m, n=1 - m) for m in (0, 1))
    assert sets.loss(symmetric=False, **options).item() == pytest.approx(there, rel=1e-6)
    assert sets.loss(**options).item() == pytest.approx((there + back) / 2, rel=1e-6)


def test_the_options_differ():
    sets = three_pairs()
    values = {
        sets.loss(aggregation=one, renormalise=two, negatives=three).item()
        for one, two, three in OPTIONS
    }
    assert len(values) == len(OPTIONS)


def test_sets_of_one_pixel_are_point_info_nce():
    """Eq. 1 is the special case of Eq. 2; both aggregations are the same then."""
    sets = Sets([[1] * 6] * 2, pairs=[0, 0, 0, 1, 1, 1])
    sets.chosen = [[int(rows[0]) for rows in view] for view in sets.pixels]
    a, b = (sets.features[torch.tensor(rows)] for rows in sets.chosen)
    for negatives in ("pair", "batch"):
        expected = point_info_nce(
            a.reshape(2, 3, -1), b.reshape(2, 3, -1), TEMPERATURE, negatives=negatives
        )
        for aggregation in ("mean", "asymmetric"):
            loss = sets.loss(aggregation=aggregation, negatives=negatives)
            torch.testing.assert_close(loss, expected)


def test_one_set_has_no_negatives():
    for aggregation in ("mean", "asymmetric"):
        assert Sets([[4], [3]]).loss(aggregation=aggregation).item() == pytest.approx(0, abs=1e-12)


def test_opposite_features_cancel_unless_renormalised():
    """Two sets of unit features e1 and -e1 (mean 0): all logits are 0, the loss is log 2."""
    sets = Sets([[2, 2], [2, 2]], n_rows=2)
    sets.features = torch.tensor([[1.0, 0], [-1.0, 0]], dtype=torch.float64, requires_grad=True)
    sets.pixels = [[np.array([0, 1])] * 2] * 2
    for renormalise in (False, True):
        loss = sets.loss(renormalise=renormalise)
        assert loss.item() == pytest.approx(math.log(2))
        assert torch.isfinite(torch.autograd.grad(loss, sets.features)[0]).all()


def test_coherent_orthogonal_sets():
    """Similarity 1 with the positive, 0 with n - 1 negatives: log(1 + (n - 1) exp(-1 / tau))."""
    sets = Sets([[3] * 5] * 2, n_rows=5)
    sets.features = 7 * torch.eye(5, dtype=torch.float64)
    sets.pixels = [[np.full(3, i) for i in range(5)]] * 2
    expected = math.log(1 + 4 * math.exp(-1 / TEMPERATURE))
    assert sets.loss().item() == pytest.approx(expected)


@pytest.mark.parametrize(("aggregation", "renormalise", "negatives"), OPTIONS)
def test_gradients(aggregation, renormalise, negatives):
    sets = three_pairs()
    features = sets.features.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: sets.loss(
            x, aggregation=aggregation, renormalise=renormalise, negatives=negatives
        ),
        (features,),
    )


def test_only_pixels_of_sets_get_a_gradient():
    sets = Sets([[5, 1, 3], [2, 6, 1]])
    features = sets.features.requires_grad_()
    (gradient,) = torch.autograd.grad(sets.loss(), features)
    used = np.unique(np.concatenate([rows for view in sets.pixels for rows in view]))
    assert gradient.abs().sum(dim=1).nonzero().flatten().tolist() == used.tolist()
    assert len(used) < len(sets.features)


def test_zero_features_stay_finite():
    sets = three_pairs()
    features = sets.features.clone().float()
    features[sets.pixels[0][1]] = 0  # the whole of a set of one pixel
    features.requires_grad_()
    for aggregation, renormalise, negatives in OPTIONS:
        loss = sets.loss(
            features, aggregation=aggregation, renormalise=renormalise, negatives=negatives
        )
        assert torch.isfinite(loss)
        assert torch.isfinite(torch.autograd.grad(loss, features)[0]).all()


def test_no_sets_give_zero_with_a_graph():
    sets = Sets([[], []])
    features = sets.features.requires_grad_()
    loss = sets.loss()
    assert loss.item() == 0
    loss.backward()
    assert not features.grad.any()


def test_the_same_twice_gives_the_same_bits():
    sets = three_pairs()
    runs = []
    for _ in range(2):
        features = sets.features.float().requires_grad_()
        loss = sets.loss(features, negatives="batch")
        runs.append((loss.detach(), *torch.autograd.grad(loss, features)))
    assert all(map(torch.equal, *runs))


def test_temperature_must_be_positive():
    sets = three_pairs()
    with pytest.raises(ValueError, match="temperature must be positive, is 0"):
        set_info_nce(sets.features, *sets.arguments(), 0.0)
