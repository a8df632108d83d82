"""The 3D network: a sparse UNet of the MinkUNet family."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int32
from torch import Tensor, nn

from pipeline.models.sparse.backend import sparse_backend
from pipeline.models.sparse.layers import (
    Normalised,
    SparseBasicBlock,
    SparseConv3d,
    SparseDownsample,
    SparseTensor,
    SparseUpsample,
)


def _blocks(inputs: int, planes: int, count: int) -> nn.Sequential:
    return nn.Sequential(
        *(SparseBasicBlock(planes if index else inputs, planes) for index in range(count))
    )


class SparseUNet(nn.Module):
    """Coloured voxels to one feature vector per voxel.

    A 5x5x5 stem; encoder stages that halve the resolution and decoder stages that double it, each
    a strided convolution and residual blocks; each decoder stage first concatenates what the
    encoder had at its resolution; a final 1x1x1 convolution with bias.

    Attributes:
        settings: the constructor's arguments, for a checkpoint's metadata.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 96,
        planes: Sequence[int] = (32, 64, 128, 256, 256, 128, 96, 96),
        blocks: Sequence[int] = (2, 3, 4, 6, 2, 2, 2, 2),
        stem_channels: int = 32,
        backend: str = "torch",
    ):
        """Make a randomly initialised network; the defaults are MinkUNet34C.

        Args:
            in_channels: channels of a voxel (RGB: 3).
            out_channels: channels of the embedding.
            planes: channels of the encoder's, then of the decoder's stages.
            blocks: residual blocks of each stage, at least 1.
            stem_channels: channels of the stem.
            backend: key of `SPARSE_BACKENDS`; weights do not depend on it.

        Raises:
            ValueError: unknown backend, or `planes` and `blocks` that do not make whole stages.

        Source: Choy et al. 2019, MinkUNet34C as in MinkowskiEngine's examples (spec C.2).
        """
        super().__init__()
        if len(planes) != len(blocks) or len(planes) % 2 or min(blocks, default=1) < 1:
            raise ValueError(
                "planes and blocks need the same even length, and blocks at least 1 each; are "
                f"{list(planes)} and {list(blocks)}"
            )
        self.settings = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "planes": list(planes),
            "blocks": list(blocks),
            "stem_channels": stem_channels,
            "backend": backend,
        }
        self._sites = sparse_backend(backend)
        depth = len(planes) // 2
        self.stem = Normalised(SparseConv3d(in_channels, stem_channels, 5))
        channels = [stem_channels, *planes[:depth]]
        self.down = nn.ModuleList(
            nn.Sequential(
                Normalised(SparseDownsample(inputs, inputs)), _blocks(inputs, outputs, count)
            )
            for inputs, outputs, count in zip(
                channels, planes[:depth], blocks[:depth], strict=False
            )
        )
        self.up, self.merge = nn.ModuleList(), nn.ModuleList()
        inputs = channels.pop()
        for outputs, count in zip(planes[depth:], blocks[depth:], strict=True):
            self.up.append(Normalised(SparseUpsample(inputs, outputs)))
            self.merge.append(_blocks(outputs + channels.pop(), outputs, count))
            inputs = outputs
        self.final = SparseConv3d(inputs, out_channels, 1, bias=True)

    def forward(
        self, coords: Int32[Tensor, "n 4"], features: Float[Tensor, "n inputs"]
    ) -> Float[Tensor, "n outputs"]:
        """Compute one embedding per voxel.

        Args:
            coords: int32 (N, 4), batch, x, y, z in voxels; any order, no duplicates.
            features: float (N, in_channels), RGB in [0, 1].

        Returns:
            Float (N, out_channels), in the order of `coords`.

        Raises:
            ValueError: two voxels of a batch have the same coordinates.
        """
        x = self.stem(SparseTensor(features, self._sites(coords)))
        skips = []
        for stage in self.down:
            skips.append(x.features)
            x = stage(x)
        for up, merge in zip(self.up, self.merge, strict=True):
            x = up(x)
            x = merge(x.with_features(torch.cat([x.features, skips.pop()], dim=1)))
        return self.final(x).features
