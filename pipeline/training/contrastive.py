"""The networks of VIEW, GEO and the depth proxy, and what they make of one batch of pairs."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from pipeline.config import Model, Variant
from pipeline.data.pairs import PairBatch
from pipeline.models.heads import EmbeddingHead, PlainHead, resize
from pipeline.models.sparse_unet import SparseUNet
from pipeline.models.unet import UNet2D
from pipeline.training.networks import Networks

#: Losses on the 2D embedding.
EMBEDDED = frozenset({"view", "geo", "set", "depth"})


@dataclass(frozen=True)
class Outputs:
    """What the networks make of B pairs; None is what no loss asks for.

    Attributes:
        maps: float (2B, D, h, w), embeddings at half the images' size.
        pixels: float (2B, N + N', D), of these the embeddings at the pixels that are matched with
            the other view's and at those that are matched with voxels: see `matched_pixels`.
        voxels: float (V, D'), embeddings of the voxels.
        depth: float (2B, H, W), metres.
    """

    maps: Float[Tensor, "b2 d h2 w2"] | None
    pixels: Float[Tensor, "b2 n d"] | None
    voxels: Float[Tensor, "v dv"] | None
    depth: Float[Tensor, "b2 h w"] | None


class ContrastiveModel(Networks):
    """The networks that a variant's losses need.

    Attributes:
        unet: the 2D network.
        head_view: 1x1 convolution to the embedding, on which all losses are; None without any.
        sparse: the 3D network; None without GEO.
        lin2d: (lin): linear layer on the 2D side of GEO; None without.
        lin3d: (lin) of Pri3D's code: linear layer on the 3D side of GEO; None without.
        head_depth: 1x1 convolution from the embedding to the depth of the depth proxy loss; None
            without.

    Source: paper 000 Figure 2, supplement Figure 1; spec C.1-C.3, C.5, F.1 items 2 and 3. Without
    (lin), GEO compares the 2D embedding with the 3D network's output directly, both `embedding_dim`
    wide (the papers leave this width open). With (lin) and one layer the 3D network's output is
    `linear_dim` wide (paper 000: 96, MinkUNet34C's own) and the 2D embedding is projected to it;
    with two layers it is as wide as the 3D network's last stage (code: 96) and both sides are
    projected.
    """

    def __init__(self, model: Model, variant: Variant, seed: int) -> None:
        """Build the networks that a variant's losses need, with the initial weights of a seed.

        The 2D networks are drawn first, so that all variants of a seed start from the same ones.

        Args:
            model: Sizes of the networks.
            variant: Which losses are on.
            seed: Of the initial weights.
        """
        super().__init__()
        losses = set(variant.losses)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.unet = UNet2D(model.encoder, model.width, model.feature_channels)
            channels = self.unet.feature_channels
            width = model.embedding_dim or channels
            self.head_view = EmbeddingHead(channels, width) if losses & EMBEDDED else None
            self.sparse: SparseUNet | None = None
            self.lin2d: nn.Linear | None = None
            self.lin3d: nn.Linear | None = None
            if "geo" in losses:
                both = variant.linear and model.linear_layers == "two"
                width_3d = model.sparse_planes[-1] if both else model.linear_dim
                self.sparse = SparseUNet(
                    in_channels=3,
                    out_channels=width_3d if variant.linear else width,
                    planes=model.sparse_planes,
                    blocks=model.sparse_blocks,
                    stem_channels=model.sparse_stem_channels,
                    backend=model.sparse_backend,
                )
                self.lin2d = nn.Linear(width, model.linear_dim) if variant.linear else None
                self.lin3d = nn.Linear(width_3d, model.linear_dim) if both else None
            self.head_depth = PlainHead(width, 1) if "depth" in losses else None

    def forward(self, batch: PairBatch) -> Outputs:
        """What the losses need of a batch on the model's device."""
        maps = pixels = voxels = depth = None
        if self.head_view is not None:
            maps = self.head_view(self.unet(batch.images))
            pixels = matched_pixels(maps, batch)
        if self.sparse is not None:
            voxels = self.sparse(batch.coords, batch.features)
        if self.head_depth is not None:
            size = batch.images.shape[-2], batch.images.shape[-1]
            depth = resize(self.head_depth(maps), size)[:, 0]
        return Outputs(maps, pixels, voxels, depth)

    def settings(self) -> dict[str, Any]:
        """With those of the 3D network, None without."""
        return {**super().settings(), "sparse": self.sparse and self.sparse.settings}


def gather_pixels(
    maps: Float[Tensor, "b d h2 w2"], pixel: Int64[Tensor, "b n"], width: int
) -> Float[Tensor, "b n d"]:
    """Embeddings at full-resolution pixels, from the nearest cell of half-resolution maps.

    Args:
        maps: float (B, D, h, w).
        pixel: int64 (B, N), flat index v * width + u at the images' size.
        width: Images' width, pixels.

    Returns:
        float (B, N, D).

    Source: spec A.8: nearest at floor(p / 2).
    """
    cells_wide = maps.shape[-1]
    cell = (pixel // width // 2) * cells_wide + pixel % width // 2
    offset = torch.arange(len(maps), device=maps.device)[:, None] * maps[0, 0].numel()
    return take_rows(maps.permute(0, 2, 3, 1).flatten(0, 2), cell + offset)


def matched_pixels(maps: Float[Tensor, "b2 d h2 w2"], batch: PairBatch) -> Float[Tensor, "b2 n d"]:
    """Embeddings at all matched pixels: `pixel_a` or `pixel_b` of a view, then `voxel_pixel`.

    Gathered at once, so that the gradient of the maps, which has no other entries, is made once.
    """
    pixel = torch.cat([torch.cat([batch.pixel_a, batch.pixel_b]), batch.voxel_pixel], dim=1)
    return gather_pixels(maps, pixel, batch.images.shape[-1])


def take_rows(rows: Float[Tensor, "n d"], number: Int64[Tensor, "b m"]) -> Float[Tensor, "b m d"]:
    """Rows of a matrix by their numbers; its gradient is 8 times faster than that of `rows[n]`."""
    return rows.index_select(0, number.flatten()).unflatten(0, number.shape)
