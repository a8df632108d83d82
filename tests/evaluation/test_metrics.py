"""Metrics against torchmetrics and slow references."""

import math
import sys

import pytest
import torch
from torchmetrics import classification, regression

from pipeline.evaluation.metrics import DepthMetrics, ReconstructionMetrics, SegmentationMetrics


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def labels(generator):
    """Predicted and true classes; class 5 occurs nowhere, class 4 only in the prediction."""
    target = torch.randint(0, 4, (3, 10, 12), generator=generator, dtype=torch.uint8)
    predicted = torch.where(
        torch.rand(target.shape, generator=generator) < 0.6,
        target,
        torch.randint(0, 5, target.shape, generator=generator, dtype=torch.uint8),
    )
    target[torch.rand(target.shape, generator=generator) < 0.2] = 255
    return predicted.long(), target


def test_these_parts_of_torchmetrics_need_no_torchvision():
    """PyPI's torchvision does not import beside a CPU build of torch."""
    assert classification.MulticlassJaccardIndex
    assert regression.MeanSquaredError
    assert "torchvision" not in sys.modules


def slow_iou(predicted, target, index):
    pairs = [
        (p, t)
        for p, t in zip(predicted.flatten().tolist(), target.flatten().tolist(), strict=True)
        if t != 255
    ]
    hits = sum(p == index and t == index for p, t in pairs)
    return 100 * hits / sum(p == index or t == index for p, t in pairs)


def test_iou_equals_a_loop_over_pixels(labels):
    metrics = SegmentationMetrics(6)
    for predicted, target in zip(*labels, strict=True):
        metrics.process(predicted, target)
    result = metrics.evaluate()
    expected = {index: slow_iou(*labels, index) for index in range(4)}
    assert result["per_class"] == pytest.approx(expected)
    assert result["miou"] == pytest.approx(sum(expected.values()) / 4)


def test_iou_equals_torchmetrics(labels):
    predicted, target = labels
    ours = SegmentationMetrics(6, absent_classes="zero")
    ours.process(predicted, target)
    reference = classification.MulticlassJaccardIndex(6, average=None, ignore_index=255)
    confusion = classification.MulticlassConfusionMatrix(6, ignore_index=255)
    assert torch.equal(ours.confusion, confusion(predicted, target.long()))
    expected = 100 * reference(predicted, target.long())
    torch.testing.assert_close(torch.tensor(list(ours.evaluate()["per_class"].values())), expected)
    # Its mean leaves out classes that are neither true nor predicted; ours those that are not true.
    macro = classification.MulticlassJaccardIndex(5, average="macro", ignore_index=255)
    present = SegmentationMetrics(5, absent_classes="skip")
    predicted = predicted.clamp(max=3)
    present.process(predicted, target)
    assert present.evaluate()["miou"] == pytest.approx(
        100 * float(macro(predicted, target.long())), rel=1e-6
    )


def test_absent_classes_are_skipped_or_zero(labels):
    results = {}
    for absent in ("skip", "zero"):
        metrics = SegmentationMetrics(6, absent_classes=absent)
        metrics.process(*labels)
        results[absent] = metrics.evaluate()
    assert list(results["skip"]["per_class"]) == [0, 1, 2, 3]
    assert results["zero"]["per_class"][4] == results["zero"]["per_class"][5] == 0
    assert results["zero"]["miou"] == pytest.approx(results["skip"]["miou"] * 4 / 6)


def test_a_miss_counts_whatever_is_predicted_instead():
    """Pri3D's class 0 hides misses (spec D.1); here each class' misses count."""
    metrics = SegmentationMetrics(2)
    metrics.process(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 1, 1]))
    assert metrics.evaluate()["per_class"] == pytest.approx({0: 50, 1: 200 / 3})


def pri3d_miou(predicted, target, n_classes):
    """Pri3D's iouEval, pixel by pixel: classes 1 .. n_classes, 0 is both ignored and predictable.

    Rows are predictions; row and column 0 are zeroed; the mean is over all classes but 0.
    """
    counts = [[0] * (n_classes + 1) for _ in range(n_classes + 1)]
    for p, t in zip(predicted.flatten().tolist(), target.flatten().tolist(), strict=True):
        if p != 0 and t != 0:
            counts[p][t] += 1
    ious = []
    for index in range(1, n_classes + 1):
        hits = counts[index][index]
        false_positives = sum(counts[index]) - hits
        false_negatives = sum(row[index] for row in counts) - hits
        ious.append(hits / (hits + false_positives + false_negatives + 1e-15))
    return 100 * sum(ious) / n_classes


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_pri3ds_counting_equals_its_code(labels, generator, share):
    predicted, target = labels
    predicted[torch.rand(predicted.shape, generator=generator) < share] = -1
    ours = SegmentationMetrics(6, absent_classes="zero", abstentions="drop")
    ours.process(predicted, target)
    shifted = torch.where(target == 255, 0, target.long() + 1)
    assert ours.evaluate()["miou"] == pytest.approx(pri3d_miou(predicted + 1, shifted, 6))


def test_abstaining_hides_misses_in_pri3ds_counting_only():
    """Half of class 1 is predicted as nothing: hidden there, out of range here (spec D.1)."""
    target = torch.tensor([0, 0, 1, 1])
    metrics = SegmentationMetrics(2, absent_classes="zero", abstentions="drop")
    metrics.process(torch.tensor([0, 0, 1, -1]), target)
    assert metrics.evaluate() == {"miou": 100, "per_class": {0: 100, 1: 100}}
    with pytest.raises(ValueError, match=r"predicted classes -1 \.\. 1 are not within 0 \.\. 1"):
        SegmentationMetrics(2).process(torch.tensor([0, 0, 1, -1]), target)


def test_perfect_reset_and_empty(labels):
    metrics = SegmentationMetrics(6)
    metrics.process(*labels)
    metrics.reset()
    assert math.isnan(metrics.evaluate()["miou"])
    assert metrics.evaluate()["per_class"] == {}
    _, target = labels
    metrics.process(target.long().clamp(max=5), target)
    assert metrics.evaluate()["miou"] == 100


def test_ignored_pixels_may_hold_anything():
    metrics = SegmentationMetrics(2, ignore_index=-1)
    metrics.process(torch.tensor([77, 1]), torch.tensor([-1, 1]))
    assert metrics.evaluate() == {"miou": 100, "per_class": {1: 100}}


@pytest.mark.parametrize(
    ("predicted", "target", "named"),
    [([0, 3], [0, 1], "predicted classes 0 .. 3"), ([0, 1], [-1, 1], "target classes -1 .. 1")],
)
def test_classes_out_of_range_are_named(predicted, target, named):
    with pytest.raises(ValueError, match=rf"{named} are not within 0 \.\. 2"):
        SegmentationMetrics(3).process(torch.tensor(predicted), torch.tensor(target))


def test_depth(generator):
    target = 5 * torch.rand(2, 6, 7, generator=generator)
    predicted = target + torch.randn(target.shape, generator=generator)
    target[0, :2] = 0
    target[1, 0, 0] = math.nan
    metrics = DepthMetrics(depth_max_m=4.0)
    for batch in zip(predicted, target, strict=True):
        metrics.process(*batch)
    errors = [
        (p - t) ** 2
        for p, t in zip(predicted.flatten().tolist(), target.flatten().tolist(), strict=True)
        if 0 < t <= 4
    ]
    mse = sum(errors) / len(errors)
    assert 0 < len(errors) < target.numel() - 15
    assert metrics.evaluate() == pytest.approx({"score": -100 * mse, "rmse_m": math.sqrt(mse)})


@pytest.mark.parametrize(
    ("metrics", "root", "limits"),
    [
        (DepthMetrics(depth_max_m=1.5), "rmse_m", (0, 1.5)),
        (ReconstructionMetrics(), "rmse", (-math.inf, math.inf)),
    ],
)
def test_squared_errors_equal_torchmetrics(metrics, root, limits, generator):
    mean, root_mean = regression.MeanSquaredError(), regression.MeanSquaredError(squared=False)
    for size in (1, 4, 2):  # the mean is over pixels, not over batches
        predicted, target = torch.randn(2, size, 3, 6, 7, generator=generator)
        metrics.process(predicted, target)
        counted = (target > limits[0]) & (target <= limits[1])
        for reference in (mean, root_mean):
            reference.update(predicted[counted], target[counted])
    result = metrics.evaluate()
    assert result["score"] == pytest.approx(-100 * float(mean.compute()))
    assert result[root] == pytest.approx(float(root_mean.compute()))


def test_depth_by_hand():
    metrics = DepthMetrics()
    metrics.process(torch.tensor([1.5, 2.0, 9.0]), torch.tensor([1.0, 3.0, 0.0]))
    expected = {"score": -100 * (0.25 + 1) / 2, "rmse_m": math.sqrt(0.625)}
    assert metrics.evaluate() == pytest.approx(expected)


def test_reconstruction(generator):
    predicted, target = torch.randn(2, 5, 3, 4, 6, generator=generator)
    metrics = ReconstructionMetrics()
    for part in (slice(0, 2), slice(2, 5)):
        metrics.process(predicted[part], target[part])
    mse = float((predicted - target).square().mean())
    expected = {"score": -100 * mse, "rmse": math.sqrt(mse)}
    assert metrics.evaluate() == pytest.approx(expected)


@pytest.mark.parametrize("metrics", [DepthMetrics(), ReconstructionMetrics()])
def test_nothing_processed_is_nan(metrics):
    metrics.process(torch.zeros(0, 3, 2, 2), torch.zeros(0, 3, 2, 2))
    assert all(math.isnan(value) for value in metrics.evaluate().values())
