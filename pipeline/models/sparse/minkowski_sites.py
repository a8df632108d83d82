"""Sparse convolution by MinkowskiEngine, the library that the papers used; on the CPU."""

import collections
import collections.abc
import warnings
from functools import cache
from typing import Any

from jaxtyping import Float, Int32
from torch import Tensor

from pipeline.models.sparse.kernel_map import check_unique
from pipeline.models.sparse.sites import Sites


def import_engine() -> Any:
    """Import MinkowskiEngine, which nothing but this backend needs.

    Raises:
        ModuleNotFoundError: it is not installed; the text says how to install it.

    Source: spec dependencies.md (the aliases that its code of 2021 needs since Python 3.10).
    """
    for name in ("Iterable", "Mapping", "Sequence"):
        setattr(collections, name, getattr(collections.abc, name))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*compiled with CPU_ONLY flag")
        try:
            import MinkowskiEngine
        except ModuleNotFoundError as error:
            if error.name != "MinkowskiEngine":
                raise
            raise ModuleNotFoundError(
                "sparse backend 'minkowski' needs MinkowskiEngine, which is not installed; "
                "run `make minkowski`, or set model.sparse_backend to torch",
                name=error.name,
            ) from None
    return MinkowskiEngine


@cache
def _kernel(size: int, stride: int) -> Any:
    """A cubic kernel as MinkowskiEngine describes it."""
    return import_engine().KernelGenerator(kernel_size=size, stride=stride, dimension=3)


class MinkowskiSites(Sites):
    """Sparse convolution by MinkowskiEngine 0.5.4, built for the CPU by `make minkowski`.

    Its coordinate manager keeps the sites and kernel maps of all strides.

    Source: the forward pass of MinkowskiConvolutionBase, without its SparseTensor.
    """

    def __init__(self, coords: Int32[Tensor, "n 4"]):
        """Take the sites of stride 1, see `Sites`.

        Raises:
            ValueError: two sites have the same coordinates, or they are not on the CPU.
        """
        check_unique(coords)
        if coords.device.type != "cpu":
            raise ValueError(
                f"sparse backend 'minkowski' is built for the CPU, the sites are on "
                f"{coords.device}; set model.sparse_backend to torch"
            )
        self._engine = import_engine()
        self._manager = self._engine.CoordinateManager(D=3)
        # It takes no empty map; rows keep the order of the coordinates.
        self._keys: dict[int, Any] = {}
        if len(coords):
            self._keys[1] = self._manager.insert_and_map(coords.contiguous(), 1)[0]

    @classmethod
    def check_installed(cls) -> None:
        """See `Sites.check_installed`."""
        import_engine()

    def convolve(
        self,
        features: Float[Tensor, "n inputs"],
        weight: Float[Tensor, "k inputs outputs"],
        stride: int,
    ) -> Float[Tensor, "n outputs"]:
        """See `Sites.convolve`."""
        size = round(len(weight) ** (1 / 3))
        return self._apply("", features, weight, _kernel(size, 1), stride, stride)

    def downsample(
        self,
        features: Float[Tensor, "n inputs"],
        weight: Float[Tensor, "8 inputs outputs"],
        stride: int,
    ) -> Float[Tensor, "m outputs"]:
        """See `Sites.downsample`."""
        if self._keys and 2 * stride not in self._keys:
            self._keys[2 * stride] = self._manager.stride(self._keys[stride], 2)
        return self._apply("", features, weight, _kernel(2, 2), stride, 2 * stride)

    def upsample(
        self,
        features: Float[Tensor, "m inputs"],
        weight: Float[Tensor, "8 inputs outputs"],
        stride: int,
    ) -> Float[Tensor, "n outputs"]:
        """See `Sites.upsample`."""
        return self._apply("Transpose", features, weight, _kernel(2, 2), stride, stride // 2)

    def _apply(
        self, kind: str, features: Tensor, weight: Tensor, kernel: Any, source: int, target: int
    ) -> Tensor:
        """Call its autograd function from the sites of one stride to those of another."""
        if not self._keys:
            return features @ weight[0]  # no rows, but a graph back to both
        from MinkowskiEngineBackend._C import ConvolutionMode

        function = getattr(self._engine, f"MinkowskiConvolution{kind}Function")
        return function.apply(
            features.to(weight.dtype),  # it knows no autocast
            weight,
            kernel,
            ConvolutionMode.DEFAULT,
            self._keys[source],
            self._keys[target],
            self._manager,
        )
