"""MoCo's InfoNCE against its equation written out, and its limits."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from pipeline.losses.moco import queue_info_nce


def unit(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def equation_1(queries, keys, queue, temperature):
    """He et al. 2020 Eq. 1: -log(exp(q k+ / tau) / sum over the positive and the queue)."""
    total = 0.0
    for query, key in zip(queries.tolist(), keys.tolist(), strict=True):
        similarities = [
            sum(x * y for x, y in zip(query, other, strict=True))
            for other in [key, *queue.tolist()]
        ]
        terms = [math.exp(similarity / temperature) for similarity in similarities]
        total -= math.log(terms[0] / sum(terms))
    return total / len(queries)


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
def test_equals_equation_1(temperature):
    queries, keys, queue = unit(3, 4), unit(3, 4, seed=1), unit(7, 4, seed=2)
    expected = equation_1(queries, keys, queue, temperature)
    assert queue_info_nce(queries, keys, queue, temperature).item() == pytest.approx(expected)


def test_perfect_queries_and_an_orthogonal_queue():
    """Similarity 1 with the key and 0 with k others: log(1 + k exp(-1 / tau))."""
    queries = torch.eye(6, dtype=torch.float64)[:2]
    queue = torch.eye(6, dtype=torch.float64)[2:]
    expected = math.log(1 + 4 * math.exp(-1 / 0.2))
    assert queue_info_nce(queries, queries, queue, 0.2).item() == pytest.approx(expected)


def test_keys_of_the_batch_are_no_negatives():
    """Equal queries and keys: a batch of one or of many has the same loss."""
    one, queue = unit(1, 4), unit(5, 4, seed=1)
    many = one.expand(8, 4)
    torch.testing.assert_close(
        queue_info_nce(many, many, queue, 0.2), queue_info_nce(one, one, queue, 0.2)
    )


def test_gradients_flow_to_the_queries_alone():
    queries, keys, queue = (unit(3, 4, seed=i).requires_grad_() for i in range(3))
    assert torch.autograd.gradcheck(
        lambda x: queue_info_nce(x, keys.detach(), queue.detach(), 0.2), (queries,)
    )
    queue_info_nce(queries, keys, queue.detach(), 0.2).backward()
    assert queries.grad.abs().sum() > 0
    assert keys.grad is None


def test_no_queries_give_zero_with_a_graph():
    queries = torch.zeros(0, 4, requires_grad=True)
    loss = queue_info_nce(queries, torch.zeros(0, 4), torch.zeros(5, 4), 0.2)
    assert loss.item() == 0
    loss.backward()
    assert queries.grad.shape == (0, 4)


def test_temperature_must_be_positive():
    with pytest.raises(ValueError, match="temperature must be positive, is 0"):
        queue_info_nce(torch.ones(2, 2), torch.ones(2, 2), torch.ones(3, 2), 0.0)
