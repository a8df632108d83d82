"""How fast BatchNorm's running statistics follow the batches."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def pri3d_momentum(step: int) -> float:
    """Momentum of Pri3D's UNet at a step: 0.5, halved every 20 steps, 0.001 from step 180 on.

    Args:
        step: 0 at the start.

    Source: Pri3D's code (spec C.1, C.6).
    """
    return max(0.5 * 0.5 ** (step // 20), 0.001)


def set_momentum(network: nn.Module, momentum: float) -> None:
    """Let every BatchNorm in `network` take so much of each batch, from now on."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = momentum
