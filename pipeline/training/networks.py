"""The networks that a pretraining trains together."""

from typing import Any

from torch import nn

from pipeline.models.unet import UNet2D


class Networks(nn.Module):
    """A UNet and what its losses need beside it; called with a batch.

    Attributes:
        unet: the only one that downstream tasks use.
    """

    unet: UNet2D

    def settings(self) -> dict[str, Any]:
        """The constructors' arguments, for a checkpoint's metadata: `model` is the UNet's."""
        return {"model": self.unet.settings}
