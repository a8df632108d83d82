"""PointInfoNCE against Eq. 1 written out, values known by hand, and its limits."""

import math

import pytest
import torch

from pipeline.losses.info_nce import point_info_nce


def embeddings(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, *shape, generator=generator, dtype=torch.float64).unbind(0)


def equation_1(a, b, temperature):
    """Sum over matches (i, j) of -log(exp(f_i f_j / tau) / sum_k exp(f_i f_k / tau)), / N."""
    a = [row / math.sqrt(sum(x * x for x in row)) for row in a]
    b = [row / math.sqrt(sum(x * x for x in row)) for row in b]
    total = 0.0
    for i in range(len(a)):
        terms = []
        for k in range(len(b)):
            terms.append(
                math.exp(float(sum(x * y for x, y in zip(a[i], b[k], strict=True))) / temperature)
            )
        total -= math.log(terms[i] / sum(terms))
    return total / len(a)


def test_equals_equation_1():
    a, b = embeddings(7, 4)
    expected = equation_1(a, b, 0.4)
    assert point_info_nce(a, b, 0.4, symmetric=False).item() == pytest.approx(expected)
    both = (expected + equation_1(b, a, 0.4)) / 2
    assert point_info_nce(a, b, 0.4).item() == pytest.approx(both)


def test_negatives_of_the_pair_or_of_the_batch():
    a, b = embeddings(3, 5, 4)
    pairs = sum(equation_1(x, y, 0.4) for x, y in zip(a, b, strict=True)) / 3
    assert point_info_nce(a, b, 0.4, symmetric=False).item() == pytest.approx(pairs)
    batch = equation_1(a.reshape(15, 4), b.reshape(15, 4), 0.4)
    actual = point_info_nce(a, b, 0.4, symmetric=False, negatives="batch")
    assert actual.item() == pytest.approx(batch)


@pytest.mark.parametrize("temperature", [0.07, 0.4, 1.0])
def test_orthonormal_features(temperature):
    """Similarity 1 with the positive, 0 with n - 1 negatives: log(1 + (n - 1) exp(-1 / tau))."""
    a = torch.eye(6, dtype=torch.float64)
    expected = math.log(1 + 5 * math.exp(-1 / temperature))
    assert point_info_nce(a, 3 * a, temperature).item() == pytest.approx(expected)


def test_identical_features_give_the_log_of_their_number():
    a = torch.ones(2, 9, 3)
    assert point_info_nce(a, a, 0.4).item() == pytest.approx(math.log(9))
    assert point_info_nce(a, a, 0.4, negatives="batch").item() == pytest.approx(math.log(18))


def test_temperature_limits():
    a, b = embeddings(8, 16)
    assert point_info_nce(a, b, 1e6).item() == pytest.approx(math.log(8), abs=1e-4)
    assert point_info_nce(a, a, 1e-3).item() == pytest.approx(0, abs=1e-9)


def test_one_match_has_no_negatives():
    a, b = embeddings(1, 4)
    assert point_info_nce(a, b, 0.4).item() == 0


def test_invariances():
    a, b = embeddings(2, 6, 4)
    loss = point_info_nce(a, b, 0.4)
    rotation = torch.linalg.qr(embeddings(4, 4, seed=1)[0]).Q
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(point_info_nce(5 * a, b / 7, 0.4), loss)
    torch.testing.assert_close(point_info_nce(a @ rotation, b @ rotation, 0.4), loss)
    torch.testing.assert_close(point_info_nce(a[:, order], b[:, order], 0.4), loss)
    torch.testing.assert_close(point_info_nce(a.flip(0), b.flip(0), 0.4), loss)
    torch.testing.assert_close(point_info_nce(b, a, 0.4), loss)
    assert point_info_nce(a, b[:, order], 0.4) != loss


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("negatives", ["pair", "batch"])
def test_gradients(symmetric, negatives):
    a, b = (x.requires_grad_() for x in embeddings(2, 4, 3))
    assert torch.autograd.gradcheck(
        lambda x, y: point_info_nce(x, y, 0.4, symmetric, negatives), (a, b)
    )


def test_zero_vectors_stay_finite():
    a, b = (x.float() for x in embeddings(4, 3))
    a[1] = 0
    a.requires_grad_()
    loss = point_info_nce(a, b, 0.4)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(a.grad).all()


@pytest.mark.parametrize("shape", [(0, 4), (0, 5, 4), (3, 0, 4)])
@pytest.mark.parametrize("negatives", ["pair", "batch"])
def test_no_matches_give_zero_with_a_graph(shape, negatives):
    a = torch.zeros(shape, requires_grad=True)
    loss = point_info_nce(a, torch.zeros(shape), 0.4, negatives=negatives)
    assert loss.item() == 0
    loss.backward()
    assert a.grad.shape == shape


def test_temperature_must_be_positive():
    with pytest.raises(ValueError, match="temperature must be positive, is 0"):
        point_info_nce(torch.ones(2, 2), torch.ones(2, 2), 0.0)


@pytest.mark.parametrize("temperature", [0.03, 1 / 30, 0.07, 0.4])
def test_float32_on_both_sides_of_the_span_that_exponentials_hold(temperature):
    """Orthogonal and opposite rows too: their terms are the smallest."""
    a, b = embeddings(12, 8)
    a[0], b[0], b[1] = torch.eye(8, dtype=torch.float64)[[0, 1, 0]]
    b[2] = -a[2]
    found = point_info_nce(a.float(), b.float(), temperature, symmetric=False).item()
    assert found == pytest.approx(equation_1(a, b, temperature), rel=1e-5)
