"""The networks of VIEW and GEO and their losses on one batch."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from pipeline.config import Contrast, Model, Variant
from pipeline.data.pairs import PairBatch
from pipeline.losses.info_nce import point_info_nce
from pipeline.models.heads import EmbeddingHead
from pipeline.models.sparse_unet import SparseUNet
from pipeline.models.unet import UNet2D
from pipeline.training.optimisation import Loss


class ContrastiveModel(nn.Module):
    """What pretraining trains; only `unet` is kept for downstream tasks.

    Attributes:
        unet: the 2D network.
        head_view: 1x1 convolution to the embedding that VIEW (and GEO) compare.
        sparse: the 3D network; None without GEO.
        lin2d: (lin): linear layer on the 2D side of GEO; None without.
        lin3d: (lin): linear layer on the 3D side of GEO; None without.

    Source: paper 000 Figure 2; spec C.1-C.3, F.1 items 2 and 3. Without (lin), GEO compares the
    2D embedding with the 3D network's output directly, both `embedding_dim` wide (the papers
    leave this width open); with (lin) both sides get a layer of their own, as in the code.
    """

    def __init__(self, model: Model, variant: Variant, seed: int) -> None:
        """Build the networks with the initial weights of a seed.

        The 2D networks are drawn first, so that all variants of a seed start from the same ones.

        Args:
            model: Sizes and start of the networks.
            variant: Which losses are on.
            seed: Of the initial weights.
        """
        super().__init__()
        geo = "geo" in variant.losses
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.unet = UNet2D(model.encoder, model.width, model.feature_channels)
            dim = model.embedding_dim or self.unet.feature_channels
            self.head_view = EmbeddingHead(self.unet.feature_channels, dim)
            self.sparse = (
                SparseUNet(
                    in_channels=3,
                    out_channels=dim,
                    planes=model.sparse_planes,
                    blocks=model.sparse_blocks,
                    stem_channels=model.sparse_stem_channels,
                    backend=model.sparse_backend,
                )
                if geo
                else None
            )
            linear = geo and variant.linear
            self.lin2d = nn.Linear(dim, model.linear_dim) if linear else None
            self.lin3d = nn.Linear(dim, model.linear_dim) if linear else None

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d _h2 _w2"]:
        """Embedding maps of images, at half their size."""
        return self.head_view(self.unet(images))


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
    return maps.permute(0, 2, 3, 1).flatten(0, 2)[cell + offset]


def contrastive_loss(
    model: ContrastiveModel, variant: Variant, contrast: Contrast, batch: PairBatch
) -> Loss:
    """VIEW and GEO of one batch, each with weight 1, GEO as the mean over both views.

    Args:
        model: The networks.
        variant: Which losses are on.
        contrast: Temperature, symmetry and negatives.
        batch: On the model's device.

    Source: paper 000 section 3.1; spec C.4.
    """

    def info_nce(a: Tensor, b: Tensor) -> Tensor:
        return point_info_nce(a, b, contrast.temperature, contrast.symmetric, contrast.negatives)

    width = batch.images.shape[-1]
    maps = model(batch.images)
    losses = {}
    if "view" in variant.losses:
        maps_a, maps_b = maps.chunk(2)
        losses["view"] = info_nce(
            gather_pixels(maps_a, batch.pixel_a, width), gather_pixels(maps_b, batch.pixel_b, width)
        )
    if model.sparse is not None:
        pixels = gather_pixels(maps, batch.voxel_pixel, width)
        voxels = model.sparse(batch.coords, batch.features)[batch.voxel_row]
        if model.lin2d is not None and model.lin3d is not None:
            pixels, voxels = model.lin2d(pixels), model.lin3d(voxels)
        losses["geo"] = info_nce(pixels, voxels)
    return Loss(
        total=torch.stack(list(losses.values())).sum(),
        parts={name: float(value.detach()) for name, value in losses.items()},
        batch=", ".join(batch.names),
    )
