"""The losses on frame pairs, by the names that variants use."""

from collections.abc import Callable

from torch import Tensor

from pipeline.config import Contrast, Variant
from pipeline.data.pairs import PairBatch
from pipeline.losses.depth_proxy import depth_proxy
from pipeline.losses.info_nce import point_info_nce
from pipeline.losses.set_info_nce import set_info_nce
from pipeline.training.contrastive import ContrastiveModel, Outputs, take_rows

#: (networks, what they made of the batch, the batch, options of all and of the row) -> scalar.
PairLoss = Callable[[ContrastiveModel, Outputs, PairBatch, Contrast, Variant], Tensor]


def _point_info_nce(a: Tensor, b: Tensor, contrast: Contrast) -> Tensor:
    return point_info_nce(a, b, contrast.temperature, contrast.symmetric, contrast.negatives)


def _view(
    model: ContrastiveModel,
    outputs: Outputs,
    batch: PairBatch,
    contrast: Contrast,
    variant: Variant,
) -> Tensor:
    """VIEW: matched pixels of both frames (paper 000 section 3.1; spec C.4)."""
    assert outputs.pixels is not None
    a, b = outputs.pixels[:, : batch.pixel_a.shape[1]].chunk(2)
    return _point_info_nce(a, b, contrast)


def _geo(
    model: ContrastiveModel,
    outputs: Outputs,
    batch: PairBatch,
    contrast: Contrast,
    variant: Variant,
) -> Tensor:
    """GEO: pixels and their voxels, the mean over both views (paper 000 section 3.1; spec C.4)."""
    assert outputs.pixels is not None
    assert outputs.voxels is not None
    pixels = outputs.pixels[:, batch.pixel_a.shape[1] :]
    voxels = take_rows(outputs.voxels, batch.voxel_row)
    if model.lin2d is not None:
        pixels = model.lin2d(pixels)
    if model.lin3d is not None:
        voxels = model.lin3d(voxels)
    return _point_info_nce(pixels, voxels, contrast)


def _depth(
    model: ContrastiveModel,
    outputs: Outputs,
    batch: PairBatch,
    contrast: Contrast,
    variant: Variant,
) -> Tensor:
    """Depth proxy of all pixels with depth, the mean over both views (spec C.5), weighted."""
    assert outputs.depth is not None
    assert variant.depth is not None
    options = variant.depth
    views = zip(outputs.depth.chunk(2), batch.depth.chunk(2), strict=True)
    a, b = (depth_proxy(*view, options.alpha_m, options.combine) for view in views)
    return options.weight * (a + b) / 2


def _set(
    model: ContrastiveModel,
    outputs: Outputs,
    batch: PairBatch,
    contrast: Contrast,
    variant: Variant,
) -> Tensor:
    """Set-InfoNCE of the sets that both frames see (paper 001 section 3.2; spec B.2)."""
    assert outputs.maps is not None
    assert batch.sets is not None
    assert variant.sets is not None
    sets, options = batch.sets, variant.sets
    return set_info_nce(
        outputs.maps.permute(0, 2, 3, 1).flatten(0, 2),
        sets.cell,
        sets.share,
        sets.first,
        sets.chosen,
        sets.pair,
        sets.identity,
        contrast.temperature,
        options.aggregation,
        options.renormalise,
        contrast.symmetric,
        options.negatives,
    )


#: Name in a variant's `losses` -> the loss.
PAIR_LOSSES: dict[str, PairLoss] = {
    "view": _view,
    "geo": _geo,
    "depth": _depth,
    "set": _set,
}
