"""What a sparse convolution library has to offer."""

from abc import ABC, abstractmethod

from jaxtyping import Float, Int32
from torch import Tensor


class Sites(ABC):
    """The occupied voxels of a batch at every stride, and convolutions between them.

    This is the whole interface of a backend: layers own their weights, and everything but a
    convolution is plain torch on a feature matrix whose rows are the sites of a stride. So a
    checkpoint does not depend on the backend. A backend is a subclass in `SPARSE_BACKENDS`.

    Weights are float (K, inputs, outputs) with kernel offsets in MinkowskiEngine's order (x
    fastest, see `KernelMap`). Rows of stride 1 are in the order of the coordinates given to the
    constructor; the order of rows at other strides is the backend's own.
    """

    @abstractmethod
    def __init__(self, coords: Int32[Tensor, "n 4"]):
        """Take the sites of stride 1.

        Args:
            coords: int32 (N, 4), batch, x, y, z in voxels, on the device of the features.

        Raises:
            ValueError: two sites have the same coordinates.
        """

    @classmethod
    @abstractmethod
    def check_installed(cls) -> None:
        """Raise ModuleNotFoundError, saying how to install it, if a library is missing."""

    @abstractmethod
    def convolve(
        self,
        features: Float[Tensor, "n inputs"],
        weight: Float[Tensor, "k inputs outputs"],
        stride: int,
    ) -> Float[Tensor, "n outputs"]:
        """Convolve the sites of `stride` with a cubic kernel of odd size, centred."""

    @abstractmethod
    def downsample(
        self,
        features: Float[Tensor, "n inputs"],
        weight: Float[Tensor, "8 inputs outputs"],
        stride: int,
    ) -> Float[Tensor, "m outputs"]:
        """Kernel 2, stride 2: from the sites of `stride` to those of 2 * `stride`."""

    @abstractmethod
    def upsample(
        self,
        features: Float[Tensor, "m inputs"],
        weight: Float[Tensor, "8 inputs outputs"],
        stride: int,
    ) -> Float[Tensor, "n outputs"]:
        """Transposed kernel 2, stride 2: from the sites of `stride` to those of `stride` / 2.

        The finer sites are those that `downsample` came from.
        """
