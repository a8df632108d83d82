"""Random crops: area, aspect and place of the windows, and what a crop shows."""

import math

import numpy as np
import pytest
import torch

from pipeline.data.crops import ASPECT, draw_crop, random_crop


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_windows_have_the_area_and_aspect_that_is_asked_for():
    draws = generator()
    windows = np.array([draw_crop((240, 320), (0.2, 1.0), draws) for _ in range(2000)])
    top, left, height, width = windows.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 240).all()
    assert (left + width <= 320).all()
    share, aspect = height * width / (240 * 320), width / height
    assert share.min() > 0.195
    assert share.max() <= 1
    assert share.min() < 0.22
    assert ASPECT[0] * 0.98 < aspect.min() < 0.8
    assert 1.25 < aspect.max() < ASPECT[1] * 1.02
    # Before those that do not fit are drawn again, the logarithm is even around a square.
    small = np.array([draw_crop((240, 320), (0.2, 0.3), draws) for _ in range(2000)])
    assert abs(np.log(small[:, 3] / small[:, 2]).mean()) < 0.02
    spread = (math.log(ASPECT[1]) - math.log(ASPECT[0])) / math.sqrt(12)
    assert np.log(small[:, 3] / small[:, 2]).std() == pytest.approx(spread, rel=0.05)
    # Places are even: the mean of what is left over is half of it.
    assert (small[:, 0] / (240 - small[:, 2])).mean() == pytest.approx(0.5, abs=0.03)
    assert (small[:, 1] / (320 - small[:, 3])).mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("size", "window"),
    [
        ((10, 100), (0, 43, 10, 13)),  # no whole area fits: the widest of aspect 4 / 3, centred
        ((100, 10), (43, 0, 13, 10)),
    ],
)
def test_where_no_draw_fits_the_centre_is_taken(size, window):
    assert draw_crop(size, (1.0, 1.0), generator()) == window


def test_a_crop_is_the_resized_window_mirrored_half_of_the_time():
    """Linear ramps stay linear: the crop's corners tell its window, its slope the mirroring."""
    v, u = torch.meshgrid(torch.arange(60.0), torch.arange(80.0), indexing="ij")
    image = torch.stack([u, v, torch.ones_like(u)])
    mirrored = 0
    for seed in range(40):
        top, left, height, width = draw_crop((60, 80), (0.2, 1.0), generator(seed))
        crop = random_crop(image, 32, (0.2, 1.0), generator(seed))
        assert crop.shape == (3, 32, 32)
        torch.testing.assert_close(crop[2], torch.ones(32, 32))
        # Inside, where no kernel meets a border; pixel centres at (i + 0.5) scale - 0.5.
        places = (torch.arange(6, 26) + 0.5) / 32
        expected_u, expected_v = left + places * width - 0.5, top + places * height - 0.5
        row = crop[0, 16, 6:26]
        if row[0] > row[-1]:
            mirrored += 1
            row = crop[0, 16].flip(0)[6:26]
        torch.testing.assert_close(row, expected_u, atol=0.1, rtol=0)
        torch.testing.assert_close(crop[1, 6:26, 16], expected_v, atol=0.1, rtol=0)
    assert 10 < mirrored < 30


def test_a_seed_gives_one_crop():
    image = torch.rand(3, 40, 50)
    first, second, other = (random_crop(image, 32, (0.2, 1.0), generator(s)) for s in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
