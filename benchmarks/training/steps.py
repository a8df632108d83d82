"""Both steps, whole and without their networks."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from benchmarks.training import peer
from pipeline.config import Params, Variant
from pipeline.data.pairs import PairBatch
from pipeline.training.contrastive import ContrastiveModel, Outputs, matched_pixels
from pipeline.training.pair_losses import PAIR_LOSSES

LOSSES = ("view", "geo")
VIEW_GEO = Variant(losses=list(LOSSES))

#: A loss and its gradients with respect to the maps and to the voxels' features.
Gradients = tuple[float, torch.Tensor, torch.Tensor]


def networks(params: Params, seed: int = 0) -> ContrastiveModel:
    """VIEW+GEO's, with one embedding for both losses."""
    return ContrastiveModel(params.model, VIEW_GEO, seed)


def our_loss(
    params: Params, model: ContrastiveModel, outputs: Outputs, batch: PairBatch
) -> torch.Tensor:
    """The sum that pretraining minimises."""
    contrast = params.pretraining.contrast
    found = [PAIR_LOSSES[name](model, outputs, batch, contrast, VIEW_GEO) for name in LOSSES]
    return torch.stack(found).sum()


@dataclass(frozen=True)
class StandIns:
    """Tensors in place of what networks return, so that all else can be measured alone.

    Attributes:
        maps: float (2B, D, H/2, W/2), views a first, in the networks' layout.
        voxels: float (M, D), more rows than any batch has voxels.
    """

    maps: torch.Tensor
    voxels: torch.Tensor

    @classmethod
    def random(
        cls,
        pairs: int,
        channels: int,
        size: tuple[int, int],
        voxels: int,
        layout: torch.memory_format,
    ) -> "StandIns":
        """Drawn from a normal distribution, with seed 0."""
        generator = torch.Generator().manual_seed(0)
        maps = torch.randn(2 * pairs, channels, size[0] // 2, size[1] // 2, generator=generator)
        maps = maps.to(memory_format=layout)
        return cls(maps, torch.randn(voxels, channels, generator=generator))


def our_gradients(
    params: Params, model: ContrastiveModel, stand_ins: StandIns, batch: PairBatch
) -> Gradients:
    """Loss, with gradients for what the networks would have returned."""
    maps = stand_ins.maps.detach().requires_grad_()
    voxels = stand_ins.voxels[: len(batch.coords)].detach().requires_grad_()
    loss = our_loss(params, model, Outputs(maps, matched_pixels(maps, batch), voxels, None), batch)
    loss.backward()
    return _results(loss, maps, voxels)


def _results(loss: torch.Tensor, *leaves: torch.Tensor) -> Gradients:
    gradients = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
    return loss.item(), gradients[0], gradients[1]


def their_gradients(
    stand_ins: StandIns, samples: Sequence[peer.Sample], matches: Sequence[peer.Matches]
) -> Gradients:
    """The same of the peer: each view's chunk has rows of its own."""
    maps = stand_ins.maps.detach().requires_grad_()
    sizes = [len(view.coords) for sample in samples for view in sample.views]
    voxels = stand_ins.voxels[: sum(sizes)].detach().requires_grad_()
    loss = _their_loss(maps, voxels, samples, matches)
    loss.backward()
    return _results(loss, maps, voxels)


def _their_loss(
    maps: torch.Tensor,
    voxels: torch.Tensor,
    samples: Sequence[peer.Sample],
    matches: Sequence[peer.Matches],
) -> torch.Tensor:
    n = len(samples)
    chunks = voxels.split([len(view.coords) for sample in samples for view in sample.views])
    width = samples[0].a.image.shape[-1]
    pairs = [(maps[i], maps[n + i]) for i in range(n)]
    return peer.losses(pairs, list(zip(chunks[::2], chunks[1::2], strict=True)), matches, width)


def our_step(
    params: Params,
    model: ContrastiveModel,
    optimizer: torch.optim.Optimizer,
    batch: PairBatch,
    device: torch.device,
) -> float:
    """A whole step on loaded data."""
    batch = batch.to(device)
    optimizer.zero_grad(set_to_none=True)
    loss = our_loss(params, model, model(batch), batch)
    loss.backward()
    optimizer.step()
    return loss.item()


def their_step(
    model: ContrastiveModel,
    optimizer: torch.optim.Optimizer,
    samples: Sequence[peer.Sample],
    device: torch.device,
    n_matches: int,
) -> float:
    """A whole step of the peer on loaded data, with the same networks."""
    samples = [peer.Sample(*(view.to(device) for view in sample.views)) for sample in samples]
    optimizer.zero_grad(set_to_none=True)
    images = torch.stack([getattr(sample, name).image for name in "ab" for sample in samples])
    views = [view for sample in samples for view in sample.views]
    numbered = [
        torch.cat([torch.full_like(view.coords[:, :1], number), view.coords], 1)
        for number, view in enumerate(views)
    ]
    assert model.head_view is not None
    assert model.sparse is not None
    maps = model.head_view(model.unet(images))
    voxels = model.sparse(torch.cat(numbered).int(), torch.cat([view.features for view in views]))
    matches = [peer.match(sample, n_matches) for sample in samples]
    loss = _their_loss(maps, voxels, samples, matches)
    loss.backward()
    optimizer.step()
    return loss.item()
