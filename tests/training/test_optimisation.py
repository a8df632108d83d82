"""Schedule, SGD and loop against hand-computed values."""

import pytest
import torch

from pipeline.training.optimisation import Loss, TrainingError, make_sgd, poly_rate, train
from tests.room import small_params


def test_poly_rate_values():
    # lr (1 - s / (S + 1))^0.9 with S = 9: at s = 0 lr, at s = 5 lr / 2^0.9, never 0.
    assert poly_rate(0.1, 0, 9, 0.9) == 0.1
    assert poly_rate(0.1, 5, 9, 0.9) == pytest.approx(0.1 * 0.5**0.9)
    assert poly_rate(0.1, 8, 9, 0.9) == pytest.approx(0.1 * 0.2**0.9)


def quadratic(parameter, calls=None):
    def step_losses(step):
        if calls is not None:
            calls.append(step)
        yield Loss(parameter.square().sum() / 2, {"half": torch.tensor(1.0)}, f"batch {step}")

    return step_losses


def test_sgd_steps_as_pri3d():
    parameter = torch.nn.Parameter(torch.tensor([2.0]))
    optimizer = make_sgd([parameter], small_params().pretraining)
    train(optimizer, lambda step: 0.1 / (step + 1), 0, 2, quadratic(parameter), lambda *_: None)
    # torch: the first buffer is the bare gradient, later momentum * buffer + 0.9 * gradient.
    first = 2.0 - 0.1 * 2.0
    buffer = 0.9 * 2.0 + (1 - 0.1) * first
    assert parameter.item() == pytest.approx(first - 0.05 * buffer)


def test_parts_of_a_step_are_averaged():
    def run(parts):
        parameter = torch.nn.Parameter(torch.tensor([2.0]))
        seen = []

        def step_losses(step):
            for _ in range(parts):
                yield Loss(parameter.square().sum() / 2, {"half": torch.tensor(1.0)}, "")

        optimizer = make_sgd([parameter], small_params().pretraining)
        train(optimizer, lambda _: 0.1, 0, 3, step_losses, lambda *done: seen.append(done), parts)
        return parameter.item(), seen

    (one, seen_one), (two, seen_two) = run(1), run(2)
    assert one == pytest.approx(two)
    assert seen_one == seen_two
    assert seen_one[0] == (1, {"loss": 2.0, "half": 1.0})


def test_loop_starts_where_it_is_told():
    parameter, calls = torch.nn.Parameter(torch.tensor([2.0])), []
    optimizer = make_sgd([parameter], small_params().pretraining)
    train(optimizer, lambda _: 0.1, 3, 5, quadratic(parameter, calls), lambda *_: None)
    assert calls == [3, 4]


def test_a_loss_that_is_not_finite_names_the_batch():
    parameter = torch.nn.Parameter(torch.tensor([float("nan")]))
    optimizer = make_sgd([parameter], small_params().pretraining)
    with pytest.raises(TrainingError, match=r"step 0: the loss is nan.*batch 0"):
        train(optimizer, lambda _: 0.1, 0, 1, quadratic(parameter), lambda *_: None)


def test_running_statistics_move_once_a_step_by_the_mean_of_its_parts():
    norm = torch.nn.BatchNorm1d(1, momentum=0.1)
    optimizer = make_sgd(norm.parameters(), small_params().pretraining)
    batches = [torch.tensor([[1.0], [3.0]]), torch.tensor([[10.0], [20.0]])]

    def step_losses(step):
        for batch in batches:
            yield Loss(norm(batch).sum(), {}, "")

    buffers = list(norm.buffers())
    train(optimizer, lambda _: 0.1, 0, 1, step_losses, lambda *_: None, 2, buffers)
    assert norm.running_mean.item() == pytest.approx(0.1 * (2 + 15) / 2)
    assert norm.running_var.item() == pytest.approx(0.9 + 0.1 * (2 + 50) / 2)  # unbiased
    assert norm.num_batches_tracked == 1
