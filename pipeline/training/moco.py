"""MoCo v2: a query and a slowly following key encoder, and a queue of keys."""

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from pipeline.config import Moco, Model
from pipeline.data.single_frames import FrameBatch
from pipeline.models.unet import UNet2D
from pipeline.training.distributed import Processes
from pipeline.training.networks import Networks


@dataclass(frozen=True)
class Embeddings:
    """Both views of B frames.

    Attributes:
        queries: float (B, D), of length 1.
        keys: float (B, D), of length 1, without a graph.
    """

    queries: Float[Tensor, "b d"]
    keys: Float[Tensor, "b d"]


class MocoNetworks(Networks):
    """What MoCo trains: the encoder of the UNet, whose decoder stays as it was drawn.

    MoCo computes each image's key on another GPU than its query, since BatchNorm's statistics of
    the same few images would tell which key belongs to a query ("shuffling BN"). Here the same is
    done on any number of devices: both encoders take a batch in groups of `bn_images`, and the
    keys' groups are drawn anew from the whole batch.

    Attributes:
        unet: the 2D network.
        head_moco: MLP from the encoder's averaged last stage to the embedding.
        key_encoder: follows the encoder.
        key_head: follows `head_moco`.
        queue: float (K, D), the newest K keys; key number n stands in row n modulo K.
        n_queued: int64 scalar, keys queued since the start.

    Source: He et al. 2020, Algorithm 1 and section 3.3; Chen et al. 2020 (MoCo v2) for the MLP.
    Deviation: the queue is empty at first (MoCo: full of random vectors). With few steps the
    random ones are a large part of what is seen, and teach a constant embedding, far from them.
    """

    queue: Tensor
    n_queued: Tensor

    def __init__(self, model: Model, moco: Moco, seed: int) -> None:
        """Build the networks with the initial weights of a seed; the UNet's are all variants'.

        Args:
            model: Sizes of the 2D network.
            moco: Queue, embedding, momentum.
            seed: Of the initial weights.
        """
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.unet = UNet2D(model.encoder, model.width, model.feature_channels)
            channels = self.unet.encoder.stage_channels[-1]
            self.head_moco = nn.Sequential(
                nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, moco.dim)
            )
        self.register_buffer("queue", torch.zeros(moco.queue, moco.dim))
        self.register_buffer("n_queued", torch.zeros((), dtype=torch.int64))
        self.key_encoder, self.key_head = (
            copy.deepcopy(each).requires_grad_(False)
            for each in (self.unet.encoder, self.head_moco)
        )
        self._momentum = moco.momentum
        self._bn_images = moco.bn_images
        self._new_keys: list[Tensor] = []

    def load_encoder(self, path: str) -> None:
        """For queries and keys."""
        super().load_encoder(path)
        self.key_encoder.load_state_dict(self.unet.encoder.state_dict())

    def forward(self, batch: FrameBatch) -> Embeddings:
        """Embed a batch on the model's device; the shuffle is torch's global generator's."""
        first, second = batch.images.chunk(2)
        queries = self._embed(self.unet.encoder, self.head_moco, first)
        with torch.no_grad():
            order = torch.randperm(len(second)).to(second.device)
            shuffled = self._embed(self.key_encoder, self.key_head, second[order])
            keys = torch.empty_like(shuffled)
            keys[order] = shuffled
        self._new_keys.append(keys)
        return Embeddings(queries, keys)

    def _embed(self, encoder: nn.Module, head: nn.Module, images: Tensor) -> Tensor:
        pooled = [encoder(group)[-1].mean(dim=(2, 3)) for group in images.split(self._bn_images)]
        return functional.normalize(head(torch.cat(pooled)), dim=1)

    @torch.no_grad()
    def end_step(self, processes: Processes) -> None:
        """Queue the keys of all parts of the step, in their order, and move the key encoder."""
        keys = torch.stack(self._new_keys)
        self._new_keys = []
        # Process r of W has made the parts r, r + W, ...
        parts = keys.new_zeros((int(*processes.total([len(keys)])), *keys.shape[1:]))
        parts[processes.rank :: processes.size] = keys
        processes.sum_tensor(parts)
        keys = parts.flatten(0, 1)
        rows = (self.n_queued + torch.arange(len(keys), device=keys.device)) % len(self.queue)
        self.queue[rows] = keys
        self.n_queued += len(keys)
        for follower, leader in (
            (self.key_encoder, self.unet.encoder),
            (self.key_head, self.head_moco),
        ):
            for own, other in zip(follower.parameters(), leader.parameters(), strict=True):
                own.lerp_(other, 1 - self._momentum)

    @property
    def negatives(self) -> Float[Tensor, "k d"]:
        """The keys that the queue holds."""
        return self.queue[: int(self.n_queued)]

    def running_statistics(self) -> list[Tensor]:
        """BatchNorm's, of both encoders."""
        return [*self.unet.encoder.buffers(), *self.key_encoder.buffers()]

    def result(self) -> dict[str, Tensor]:
        """The UNet and the head; what only training needs stays in its checkpoints."""
        return {
            name: tensor
            for name, tensor in super().result().items()
            if name.startswith(("unet.", "head_moco."))
        }
