"""The depth proxy loss against its equations written out, planes, its minimum and its mask."""

import math

import numpy as np
import pytest
import torch

from pipeline.losses.depth_proxy import depth_proxy, sobel

ALPHA_M = 0.5


def slopes(depth, v, u):
    """Sobel gradients (1, 2, 1) x (1, 0, -1) at one pixel, zero outside the image."""
    height, width = depth.shape

    def at(row, column):
        inside = 0 <= row < height and 0 <= column < width
        return float(depth[row, column]) if inside else 0.0

    along_u = sum(w * (at(v + i, u - 1) - at(v + i, u + 1)) for i, w in ((-1, 1), (0, 2), (1, 1)))
    along_v = sum(w * (at(v - 1, u + i) - at(v + 1, u + i)) for i, w in ((-1, 1), (0, 2), (1, 1)))
    return along_u, along_v


def equations(predicted, target, alpha):
    """Hu et al. 2019 Eqs. 2-5, pixel by pixel: depth, gradient and normal term."""
    depth, gradient, normal = [], [], []
    for b, v, u in np.argwhere(target != 0).tolist():
        depth.append(math.log(abs(predicted[b, v, u] - target[b, v, u]) + alpha))
        (x, y), (x_true, y_true) = slopes(predicted[b], v, u), slopes(target[b], v, u)
        gradient.append(math.log(abs(x - x_true) + alpha) + math.log(abs(y - y_true) + alpha))
        dot = x * x_true + y * y_true + 1
        norms = math.sqrt(x * x + y * y + 1) * math.sqrt(x_true**2 + y_true**2 + 1)
        normal.append(abs(1 - dot / norms))
    return tuple(sum(terms) / len(terms) for terms in (depth, gradient, normal))


def maps(seed=0, holes=0.3):
    rng = np.random.default_rng(seed)
    predicted, target = rng.uniform(0.5, 4, (2, 2, 5, 6))
    target[rng.random(target.shape) < holes] = 0
    return predicted, target


@pytest.mark.parametrize("alpha", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_equals_the_equations(alpha, holes):
    predicted, target = maps(holes=holes)
    terms = equations(predicted, target, alpha)
    tensors = torch.from_numpy(predicted), torch.from_numpy(target)
    assert depth_proxy(*tensors, alpha).item() == pytest.approx(sum(terms) / 3)
    assert depth_proxy(*tensors, alpha, "sum").item() == pytest.approx(sum(terms))


def test_sobel_of_a_plane():
    """Of a u + b v the kernels make -8 a and -8 b inside the image."""
    v, u = torch.meshgrid(torch.arange(6.0), torch.arange(7.0), indexing="ij")
    inside = sobel((0.3 * u - 0.2 * v + 5)[None])[0, :, 1:-1, 1:-1]
    torch.testing.assert_close(inside[0], torch.full((4, 5), -8 * 0.3))
    torch.testing.assert_close(inside[1], torch.full((4, 5), 8 * 0.2))


def test_tilted_plane_against_a_flat_one():
    """With e = 0.3 (u - 2) on row 2 of 5: every term of the only valid pixel is known."""
    u = torch.arange(5.0).expand(5, 5)
    tilted = (0.3 * (u - 2) + 3).double()[None]
    target = torch.zeros(1, 5, 5, dtype=torch.float64)
    target[0, 2, 1] = 3.0  # alone: its own Sobel gradients are 0, those of the plane 8 * 0.3
    depth = math.log(0.3 + ALPHA_M)
    gradient = math.log(2.4 + ALPHA_M) + math.log(ALPHA_M)
    normal = 1 - 1 / math.hypot(2.4, 1)
    value = depth_proxy(tilted, target, ALPHA_M, "sum").item()
    assert value == pytest.approx(depth + gradient + normal)


@pytest.mark.parametrize(
    ("combine", "minimum"), [("mean", math.log(0.5)), ("sum", 3 * math.log(0.5))]
)
def test_perfect_prediction_is_the_minimum(combine, minimum):
    _, target = (torch.from_numpy(each) for each in maps(holes=0.0))
    assert depth_proxy(target, target, ALPHA_M, combine).item() == pytest.approx(minimum)
    for scale in (1e-3, 1e-1, 1.0):
        other = target + scale * torch.randn(target.shape, dtype=target.dtype)
        assert depth_proxy(other, target, ALPHA_M, combine).item() > minimum


def test_only_the_missing_pixel_itself_is_masked():
    """Its error does not count, but the gradients of valid pixels beside it see it."""
    predicted, target = (torch.from_numpy(each[:1]) for each in maps(holes=0.0))
    target[0, 1:4, 1:4] = 0
    loss = depth_proxy(predicted, target, ALPHA_M)
    amid, beside = predicted.clone(), predicted.clone()
    amid[0, 2, 2] += 5  # two pixels from any valid one
    beside[0, 1, 2] += 5
    assert depth_proxy(amid, target, ALPHA_M) == loss
    assert depth_proxy(beside, target, ALPHA_M) != loss


@pytest.mark.parametrize("combine", ["mean", "sum"])
def test_gradients(combine):
    predicted, target = (torch.from_numpy(each) for each in maps())
    predicted.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: depth_proxy(x, target, ALPHA_M, combine), (predicted,), eps=1e-7
    )


@pytest.mark.parametrize("shape", [(0, 4, 5), (2, 4, 5)])
def test_no_depth_at_all_gives_zero_with_a_graph(shape):
    predicted = torch.ones(shape, requires_grad=True)
    loss = depth_proxy(predicted, torch.zeros(shape))
    assert loss.item() == 0
    loss.backward()
    assert predicted.grad.abs().sum() == 0


def test_alpha_must_be_positive():
    with pytest.raises(ValueError, match="alpha_m must be positive, is 0"):
        depth_proxy(torch.ones(1, 2, 2), torch.ones(1, 2, 2), 0.0)
