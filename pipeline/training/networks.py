"""The networks that a pretraining trains together."""

from typing import Any

from torch import Tensor, nn

from pipeline.models.loading import load_torchvision_encoder
from pipeline.models.unet import UNet2D
from pipeline.training.distributed import Processes


class Networks(nn.Module):
    """A UNet and what its losses need beside it; called with a batch.

    Attributes:
        unet: the only one that downstream tasks use.
    """

    unet: UNet2D

    def settings(self) -> dict[str, Any]:
        """The constructors' arguments, for a checkpoint's metadata: `model` is the UNet's."""
        return {"model": self.unet.settings}

    def load_encoder(self, path: str) -> None:
        """Start from an encoder of torchvision's or Detectron2's format.

        Raises:
            CheckpointError: it is unreadable or does not fit.
        """
        load_torchvision_encoder(path, self.unet)

    def running_statistics(self) -> list[Tensor]:
        """Buffers that a training forward moves."""
        return list(self.buffers())

    def end_step(self, processes: Processes) -> None:
        """What follows an optimiser step; every process calls it."""

    def result(self) -> dict[str, Tensor]:
        """The tensors that are kept when training has ended."""
        return self.state_dict()
