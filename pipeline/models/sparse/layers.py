"""Layers on sparse voxels; they own weights and leave the convolution itself to the backend."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.sparse.sites import Sites


@dataclass(frozen=True)
class SparseTensor:
    """Features on the sites of one stride.

    Attributes:
        features: float (N, C), one row per site.
        sites: the batch's sites at all strides, shared by all tensors of a forward pass.
        stride: edge of a site in input voxels: 1, 2, 4, ...
    """

    features: Float[Tensor, "n channels"]
    sites: Sites
    stride: int = 1

    def with_features(self, features: Float[Tensor, "n channels"]) -> "SparseTensor":
        """Other features on the same sites."""
        return replace(self, features=features)


class _Convolution(nn.Module):
    """Weight (K, inputs, outputs), in MinkowskiEngine's order of kernel offsets, and bias.

    Source: spec C.2 (Kaiming fan-out for the weights).
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int, bias: bool = False):
        super().__init__()
        volume = kernel_size**3
        self.weight = nn.Parameter(torch.empty(volume, inputs, outputs))
        nn.init.normal_(self.weight, std=(2 / (volume * outputs)) ** 0.5)
        # Not 0: a voxel whose features all died in the last ReLU would get embedding 0, whose
        # normalisation has an unbounded gradient, and GEO collapses to chance within 50 steps.
        limit = (volume * inputs) ** -0.5
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-limit, limit)) if bias else None

    def _biased(self, features: Tensor) -> Tensor:
        return features if self.bias is None else features + self.bias


class SparseConv3d(_Convolution):
    """Convolution with an odd kernel at stride 1: outputs exist where inputs do."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, bias: bool = False):
        """Make a convolution.

        Args:
            inputs: channels in.
            outputs: channels out.
            kernel_size: edge of the kernel in sites, odd.
            bias: add a vector to every output.

        Raises:
            ValueError: the kernel is even.
        """
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, is {kernel_size}")
        super().__init__(inputs, outputs, kernel_size, bias)

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Convolve; the stride stays."""
        return x.with_features(self._biased(x.sites.convolve(x.features, self.weight, x.stride)))


class SparseDownsample(_Convolution):
    """Convolution with kernel 2 and stride 2: outputs exist where any of their 8 inputs does."""

    def __init__(self, inputs: int, outputs: int, bias: bool = False):
        """Make a convolution from `inputs` to `outputs` channels."""
        super().__init__(inputs, outputs, 2, bias)

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Convolve to twice the stride."""
        features = self._biased(x.sites.downsample(x.features, self.weight, x.stride))
        return SparseTensor(features, x.sites, 2 * x.stride)


class SparseUpsample(_Convolution):
    """Transposed convolution with kernel 2 and stride 2: back to the finer sites."""

    def __init__(self, inputs: int, outputs: int, bias: bool = False):
        """Make a convolution from `inputs` to `outputs` channels."""
        super().__init__(inputs, outputs, 2, bias)

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Convolve to half the stride."""
        features = self._biased(x.sites.upsample(x.features, self.weight, x.stride))
        return SparseTensor(features, x.sites, x.stride // 2)


class Normalised(nn.Module):
    """A convolution, batch normalisation and, unless `relu` is off, ReLU."""

    def __init__(
        self, convolution: SparseConv3d | SparseDownsample | SparseUpsample, relu: bool = True
    ):
        super().__init__()
        self.convolution = convolution
        self.norm = nn.BatchNorm1d(convolution.weight.shape[2])
        self.relu = relu

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Convolve, normalise over all sites of the batch, rectify."""
        x = self.convolution(x)
        features = self._normalise(x.features)
        return x.with_features(functional.relu(features, inplace=True) if self.relu else features)

    def _normalise(self, features: Tensor) -> Tensor:
        """A single site, as a small scene has at the coarsest stride, has no variance of its own:
        it is normalised by the running statistics."""
        if len(features) != 1:
            return self.norm(features)
        norm = self.norm
        return functional.batch_norm(
            features, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
        )


class SparseBasicBlock(nn.Module):
    """Two 3x3x3 convolutions with a residual, which a 1x1x1 convolution widens if needed."""

    def __init__(self, inputs: int, planes: int):
        super().__init__()
        self.first = Normalised(SparseConv3d(inputs, planes, 3))
        self.second = Normalised(SparseConv3d(planes, planes, 3), relu=False)
        self.shortcut = (
            None if inputs == planes else Normalised(SparseConv3d(inputs, planes, 1), relu=False)
        )

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Float (N, inputs) to (N, planes) on the same sites."""
        residual = x if self.shortcut is None else self.shortcut(x)
        features = self.second(self.first(x)).features + residual.features
        return x.with_features(functional.relu(features, inplace=True))
