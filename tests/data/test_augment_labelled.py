"""Blur and flip of labelled frames, against OpenCV and frame by frame."""

import cv2
import numpy as np
import pytest
import torch

from pipeline.data.augment_labelled import augment_labelled, blur
from pipeline.data.labelled import LabelledBatch


def make_batch(n: int = 64, height: int = 6, width: int = 8) -> LabelledBatch:
    generator = torch.Generator().manual_seed(0)
    return LabelledBatch(
        tuple(("scene", i) for i in range(n)),
        torch.randn(n, 3, height, width, generator=generator),
        torch.rand(n, height, width, generator=generator),
        torch.randint(0, 20, (n, height, width), generator=generator, dtype=torch.uint8),
    )


def test_blur_is_opencvs():
    images = make_batch(2, 9, 12).images
    for blurred, image in zip(blur(images), images, strict=True):
        expected = cv2.GaussianBlur(image.permute(1, 2, 0).numpy().astype(np.float64), (5, 5), 0)
        np.testing.assert_allclose(blurred.permute(1, 2, 0), expected, atol=1e-6)


def test_blur_commutes_with_normalisation():
    image = torch.rand(1, 3, 9, 12)
    mean, std = torch.rand(3, 1, 1), torch.rand(3, 1, 1) + 0.5
    torch.testing.assert_close(blur((image - mean) / std), (blur(image) - mean) / std)


def test_each_frame_is_blurred_flipped_both_or_neither_and_its_label_follows():
    torch.manual_seed(0)
    batch = make_batch()
    changed = augment_labelled(batch)
    assert changed.keys == batch.keys
    soft, found = blur(batch.images), []
    for i in range(len(batch.keys)):
        flipped = torch.equal(changed.label[i], batch.label[i].flip(-1))
        assert flipped or torch.equal(changed.label[i], batch.label[i])
        image = changed.images[i].flip(-1) if flipped else changed.images[i]
        depth = changed.depth[i].flip(-1) if flipped else changed.depth[i]
        assert torch.equal(depth, batch.depth[i])
        blurred = torch.equal(image, soft[i])
        assert blurred or torch.equal(image, batch.images[i])
        found.append((flipped, blurred))
    # Of 64 frames each combination is expected 16 times.
    for combination in [(False, False), (False, True), (True, False), (True, True)]:
        assert found.count(combination) == pytest.approx(16, abs=12)


def test_the_global_generator_decides():
    batch = make_batch()
    torch.manual_seed(1)
    first = augment_labelled(batch)
    second = augment_labelled(batch)
    torch.manual_seed(1)
    again = augment_labelled(batch)
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, second.images)
