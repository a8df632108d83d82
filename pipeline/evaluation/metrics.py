"""Metrics of the downstream tasks: `process` batches, then `evaluate` to a dict.

Sums run over all valid pixels of the validation set, not over images, on the given device.
"""

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor


class SegmentationMetrics:
    """Intersection over union from one confusion matrix over the validation set.

    Attributes:
        confusion: int64 (n_classes, n_classes), rows true, columns predicted classes.
    """

    def __init__(
        self,
        n_classes: int,
        ignore_index: int = 255,
        absent_classes: Literal["skip", "zero"] = "skip",
        abstentions: Literal["error", "drop"] = "error",
        device: torch.device | str = "cpu",
    ):
        """Make empty metrics.

        Args:
            n_classes: classes are 0 .. n_classes - 1.
            ignore_index: true label of the pixels that do not count.
            absent_classes: a class without a true pixel is left out of the mean and of
                `per_class`, or counts as 0 (Pri3D's code).
            abstentions: whether a prediction may be -1, "none of the classes". Its pixel is then
                dropped, so that the miss of its true class is not counted (Pri3D's code, which
                numbers the classes from 1, may predict 0, and zeroes row and column 0).
            device: where the confusion matrix lives.

        Source: spec D.1; `absent_classes="zero", abstentions="drop"` is Pri3D's counting.
        """
        self.n_classes = n_classes
        self.ignore_index = ignore_index
        self.absent_classes = absent_classes
        self.abstentions = abstentions
        self.confusion = torch.zeros(n_classes, n_classes, dtype=torch.int64, device=device)

    def reset(self) -> None:
        """Forget everything that was processed."""
        self.confusion.zero_()

    def process(
        self, predicted: Integer[Tensor, "*pixels"], target: Integer[Tensor, "*pixels"]
    ) -> None:
        """Count a batch.

        Args:
            predicted: integer classes of any shape; -1 where these may be abstained from.
            target: true classes of the same shape, or `ignore_index`.

        Raises:
            ValueError: a class outside 0 .. n_classes - 1 where the target is not ignored.
        """
        valid = target != self.ignore_index
        if self.abstentions == "drop":
            valid = valid & (predicted != -1)
        for name, classes in (("predicted", predicted[valid]), ("target", target[valid])):
            if classes.numel() and not 0 <= classes.min() <= classes.max() < self.n_classes:
                raise ValueError(
                    f"{name} classes {int(classes.min())} .. {int(classes.max())} are not within "
                    f"0 .. {self.n_classes - 1}"
                )
        cells = target[valid].long() * self.n_classes + predicted[valid].long()
        counts = torch.bincount(cells, minlength=self.n_classes**2)
        self.confusion += counts.reshape(self.confusion.shape).to(self.confusion.device)

    def evaluate(self) -> dict[str, float | dict[int, float]]:
        """Compute the result in percent.

        Returns:
            `miou`: mean over classes, NaN if none counts; `per_class`: class -> IoU.
        """
        counts = self.confusion.double()
        hits, true = counts.diagonal(), counts.sum(1)
        union = true + counts.sum(0) - hits
        iou = 100 * hits / union.clamp(min=1)
        per_class = {
            index: value
            for index, value in enumerate(iou.tolist())
            if self.absent_classes == "zero" or true[index] > 0
        }
        mean = math.fsum(per_class.values()) / len(per_class) if per_class else math.nan
        return {"miou": mean, "per_class": per_class}


class _SquaredError:
    """Sum of squared errors and number of values."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything that was processed."""
        self._sum, self._count = 0.0, 0

    def _add(self, errors: Tensor) -> None:
        self._sum += errors.double().square().sum().item()
        self._count += errors.numel()

    def _mean(self) -> float:
        return self._sum / self._count if self._count else math.nan


class DepthMetrics(_SquaredError):
    """Error of predicted depth on the pixels whose true depth is known.

    Source: paper 000 Table 1, -100 * mean squared error in square metres (spec D.5); the RMSE is
        given beside it. Missing depth is masked, about which the paper says nothing.
    """

    def __init__(self, depth_max_m: float = math.inf):
        """Make empty metrics; true depth beyond `depth_max_m` metres does not count."""
        super().__init__()
        self.depth_max_m = depth_max_m

    def valid(self, target: Float[Tensor, "*pixels"]) -> Bool[Tensor, "*pixels"]:
        """Pixels that count: true depth above 0 (0 and NaN are missing), at most `depth_max_m`."""
        return (target > 0) & (target <= self.depth_max_m)

    def process(
        self, predicted: Float[Tensor, "*pixels"], target: Float[Tensor, "*pixels"]
    ) -> None:
        """Add a batch of float depths of the same shape, metres along z."""
        valid = self.valid(target)
        self._add(predicted[valid] - target[valid])

    def evaluate(self) -> dict[str, float]:
        """`score`: -100 * MSE in square metres; `rmse_m`: metres; NaN if no pixel counted."""
        return {"score": -100 * self._mean(), "rmse_m": math.sqrt(self._mean())}


class ReconstructionMetrics(_SquaredError):
    """Error of reconstructed colours.

    Source: paper 000 Table 1, -100 * mean squared error of ImageNet-normalised RGB (spec D.5).
    """

    def process(
        self, predicted: Float[Tensor, "b 3 h w"], target: Float[Tensor, "b 3 h w"]
    ) -> None:
        """Add a batch of float (B, 3, H, W), ImageNet-normalised RGB."""
        self._add(predicted - target)

    def evaluate(self) -> dict[str, float]:
        """`score`: -100 * MSE of normalised RGB; `rmse`: its root; NaN without any batch."""
        return {"score": -100 * self._mean(), "rmse": math.sqrt(self._mean())}
