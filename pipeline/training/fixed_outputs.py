"""Outputs of a network's fixed part, computed once for all steps, tasks and validations."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.data.batch_stream import batch_stream
from pipeline.data.labelled import LabelledBatch, LabelledFrames
from pipeline.training.cell_network import CellNetwork

#: Frames that go through a network at once where nothing is trained.
EVALUATION_BATCH = 16

#: Outputs are kept up to this size per split, else computed again at every step.
LIMIT_BYTES = 2 << 30


def in_batches(rows: Sequence[int]) -> list[Sequence[int]]:
    """Consecutive parts of `rows` of the evaluation batch size."""
    return [rows[at : at + EVALUATION_BATCH] for at in range(0, len(rows), EVALUATION_BATCH)]


class FixedOutputs:
    """Outputs of the fixed part of one protocol's networks for the frames of a split."""

    def __init__(
        self, network: CellNetwork, frames: LabelledFrames, device: torch.device, workers: int = 0
    ) -> None:
        """Compute the outputs, if they are the same at every step and fit into memory.

        Args:
            network: Any network of the protocol; the fixed part is the same in all of them.
            frames: The split.
            device: Of the network.
            workers: Processes that decode the frames; 0: this one.
        """
        self._kept: list[Tensor] | None = None
        if not network.fixed_is_constant:
            return
        network.eval()

        def compute(batch: LabelledBatch) -> list[Tensor]:
            return network.fixed(batch.images.to(device))

        first = compute(frames.batch([0]))
        frame_bytes = sum(tensor.numel() * tensor.element_size() for tensor in first)
        if frame_bytes * len(frames) <= LIMIT_BYTES:
            with batch_stream(frames.batch, in_batches(range(len(frames))), workers) as batches:
                chunks = [compute(batch) for batch in batches]
            self._kept = [torch.cat(stage) for stage in zip(*chunks, strict=True)]

    def get(
        self, rows: Sequence[int], images: Float[Tensor, "b 3 h w"], network: CellNetwork
    ) -> list[Tensor]:
        """Inputs of the trained part of `network`.

        Args:
            rows: Indices of the frames in the split.
            images: Of these frames, on the network's device; used if the outputs are not kept.
            network: Of the protocol.
        """
        if self._kept is None:
            return network.fixed(images)
        return [stage[torch.as_tensor(rows)] for stage in self._kept]
