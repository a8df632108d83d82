"""What finetuning asks of a network, whichever it is and whatever of it is trained."""

from collections.abc import Callable, Sequence

from jaxtyping import Float
from torch import Tensor, nn

from pipeline.config import Protocol

Prediction = Float[Tensor, "b c h w"]


class CellNetwork(nn.Module):
    """A network cut into a fixed part and a trained part, which may be all of it.

    Attributes:
        protocol: what is trained.
    """

    protocol: Protocol

    @property
    def fixed_is_constant(self) -> bool:
        """Whether `fixed` gives the same for an image at every step, so that it can be kept."""
        return False

    def fixed(self, images: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Output of the fixed part; the images themselves, if there is none."""
        return [images]

    def forward(self, inputs: Sequence[Tensor], image_size: tuple[int, int]) -> Prediction:
        """Predictions at the images' size from the output of `fixed`."""
        raise NotImplementedError

    def loss(
        self,
        inputs: Sequence[Tensor],
        image_size: tuple[int, int],
        of: Callable[[Prediction], Tensor],
    ) -> Tensor:
        """What is minimised: by default `of`, the task's loss, of the predictions."""
        return of(self(inputs, image_size))

    def trained_state(self) -> dict[str, Tensor]:
        """Tensors of the trained part, also its BatchNorm statistics, under their full names."""
        return self.state_dict()
