"""Colour augmentation against slow references."""

import colorsys

import pytest
import torch

from pipeline.data.augment import (
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    augment_colour,
    gaussian_blur,
    grayscale,
)


@pytest.fixture
def image():
    return torch.rand(3, 12, 17, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shift", [-0.1, 0.0, 0.37])
def test_hue_against_colorsys(image, shift):
    image[:, 0, 0] = 0.3  # grey has no hue
    turned = adjust_hue(image, shift)
    for v, u in [(0, 0), (3, 4), (11, 16), (7, 1)]:
        h, s, value = colorsys.rgb_to_hsv(*image[:, v, u].tolist())
        expected = colorsys.hsv_to_rgb((h + shift) % 1, s, value)
        torch.testing.assert_close(turned[:, v, u], torch.tensor(expected), atol=1e-5, rtol=0)


def test_factor_one_changes_nothing_and_zero_removes(image):
    torch.testing.assert_close(adjust_contrast(image, 1.0), image)
    torch.testing.assert_close(adjust_saturation(image, 0.0), grayscale(image))
    assert adjust_contrast(image, 0.0).std() < 1e-6


def test_blur_is_the_gaussian_of_an_impulse_and_keeps_the_mean():
    image = torch.zeros(3, 21, 21)
    image[:, 10, 10] = 1
    blurred = gaussian_blur(image, 1.5)
    ratio = blurred[0, 10, 12] / blurred[0, 10, 10]
    assert float(ratio) == pytest.approx(float(torch.exp(torch.tensor(-0.5 * (2 / 1.5) ** 2))))
    assert float(blurred.sum()) == pytest.approx(3, rel=1e-5)


def test_augmentation_is_seeded_and_within_range(image):
    def draw(seed):
        return augment_colour(image, torch.Generator().manual_seed(seed))

    assert torch.equal(draw(3), draw(3))
    draws = [draw(seed) for seed in range(40)]
    assert all(d.min() >= 0 and d.max() <= 1 + 1e-6 and d.shape == image.shape for d in draws)
    unchanged = sum(torch.equal(d, image) for d in draws)
    gray = sum(torch.allclose(d[0], d[1]) and torch.allclose(d[1], d[2]) for d in draws)
    assert unchanged < 10  # expected 40 * 0.2 * 0.8 * 0.5 = 3.2
    assert 2 <= gray <= 18  # expected 8
