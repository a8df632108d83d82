"""What the trainings of a params file take at the papers' scale: multiply-adds and bytes.

Counted, not measured: the multiply-adds of the 2D networks' convolutions, forward, and twice that
backward. What a GPU makes of them is for `Rate` to say.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.config import Params, Protocol
from pipeline.config.pretraining import THEN
from pipeline.models.segmentation import make_network
from pipeline.models.unet import UNet2D
from pipeline.training.checkpoint import KEPT
from pipeline.training.contrastive import ContrastiveModel
from pipeline.training.moco import MocoNetworks
from pipeline.training.network_recipe import PUBLISHED
from pipeline.training.recipes import steps_of_epochs

#: Forward and backward as multiples of forward: the gradients of inputs and of weights.
TRAINED = 3
GIGA = 1_000_000_000


@dataclass(frozen=True)
class Scale:
    """How much data there is.

    Attributes:
        title: of what.
        n_frames: kept frames that are pretrained on.
        n_pairs: pairs of them that overlap enough.
        n_train: labelled frames that are finetuned on.
        n_validation: and those held out.
        source: where these numbers are from.
    """

    title: str
    n_frames: int
    n_pairs: int
    n_train: int
    n_validation: int
    source: str


SCANNET = Scale(
    *("ScanNet", 100_000, 804_000, 20_000, 5_000),
    "pairs: paper 001 section 4.1; frames: every 25th of 2.5 million; labelled: about, of "
    "scannet_frames_25k (spec D.1)",
)
#: Pretrained on without its validation scenes: 1,201 of 1,513 (spec D.1).
TRAINING_SCENES = replace(
    SCANNET,
    n_frames=SCANNET.n_frames * 1_201 // 1_513,
    n_pairs=SCANNET.n_pairs * 1_201 // 1_513,
)
NYUV2 = Scale("NYUv2", 0, 0, 795, 654, "paper 001 section 4.1")


@dataclass(frozen=True)
class Rate:
    """What a GPU does in a second, all that a training step needs beside the 2D network included.

    Attributes:
        gmacs: multiply-adds of the 2D network, in units of 1e9.
        gpu: which GPU.
        source: where this number is from.
    """

    gmacs: float
    gpu: str
    source: str


@dataclass(frozen=True)
class Training:
    """One training with one seed.

    Attributes:
        stage: of dvc.yaml.
        row: what is pretrained, or finetuned.
        gmacs: multiply-adds, in units of 1e9.
        stored_bytes: weights that it leaves in models/.
        scratch_bytes: its checkpoints, removed at its end.
    """

    stage: str
    row: str
    gmacs: float
    stored_bytes: int
    scratch_bytes: int


@cache
def _forward(kind: str, encoder: str, width: float, size: tuple[int, int], channels: int) -> float:
    """Multiply-adds of a network on one image, in units of 1e9; `unet` and `encoder` of it."""
    with torch.device("meta"):
        unet = UNet2D(encoder, width)
        networks: dict[str, nn.Module] = {"unet": unet, "encoder": unet.encoder}
        net = networks.get(kind) or make_network(kind, 20, encoder, width, channels)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net.eval()(torch.empty(1, 3, *size))
    return counter.get_total_flops() / 2 / GIGA


def published_rate() -> Rate:
    """A V100's in the papers' pretraining: 60,000 steps of 64 pairs in 4 days on 8 GPUs."""
    images = 2 * 64 * 60_000
    gmacs = images * TRAINED * _forward("unet", "resnet50", 1.0, (240, 320), 256)
    return Rate(
        gmacs / (4 * 24 * 3600 * 8),
        "V100",
        "paper 000 section 4.1.1: about 60,000 steps of 64 pairs in 4 days on 8 V100, that is 768 "
        "GPU-hours; other networks and trainings in proportion to their multiply-adds",
    )


def rate_of_pairs(pairs_per_second: float, params: Params) -> Rate:
    """A site's own GPU, from the throughput that `pretrain` shows for a VIEW+GEO row.

    Args:
        pairs_per_second: pairs a second and GPU.
        params: with which it was measured.
    """
    model, size = params.model, params.dataset.image_size
    forward = _forward("unet", model.encoder, model.width, size, params.networks.width)
    source = f"{pairs_per_second:g} pairs a second and GPU, as given, with {model.encoder}"
    return Rate(2 * TRAINED * forward * pairs_per_second, "GPU", source)


def trainings(params: Params, scale: Scale) -> Iterator[Training]:
    """All that the rows of a params file need, for one seed, in dvc.yaml's order."""
    if params.pretrained_on == params.dataset.name:
        for name in params.first_stage:
            yield _pretraining("pretrain", params, name, scale)
        for name in params.all_rows:
            if THEN in name:
                yield _pretraining("continue_pretraining", params, name, scale)
    for name in params.all_rows:
        yield _finetuning(params, name, scale)
    for name in params.label_fractions.rows:
        for percent in params.label_fractions.percents:
            images = _finetuning_images(params, "full", scale.n_train * percent // 100)
            gmacs = TRAINED * _unet(params, name) * images + _validations(params, name, scale)
            yield Training("finetune_fraction", name, gmacs, 0, 0)
    for name in params.networks.rows:
        for network in params.networks.names:
            yield _network(params, name, network, scale)


def _size(params: Params, row: str) -> tuple[str, float, tuple[int, int], int]:
    model = params.for_row(row).model
    return model.encoder, model.width, params.dataset.image_size, params.networks.width


def _unet(params: Params, row: str) -> float:
    return _forward("unet", *_size(params, row))


def _n_bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _pretraining(stage: str, params: Params, row: str, scale: Scale) -> Training:
    own, variant = params.for_row(row), params.variant(row)
    section, moco = own.pretraining, variant.moco
    with torch.device("meta"):
        net = (
            MocoNetworks(own.model, moco, seed=0)
            if moco
            else ContrastiveModel(own.model, variant, seed=0)
        )
    stored = _n_bytes(net.result().values())
    if not variant.losses:
        return Training(stage, row, 0.0, stored, 0)
    if moco:
        images = (moco.steps or 0) * moco.batch_images or moco.epochs * scale.n_frames
        # The key encoder only goes forward.
        gmacs = (TRAINED + 1) * _forward("encoder", *_size(params, row)) * images
    else:
        pairs = (section.steps or 0) * section.batch_pairs or section.epochs * scale.n_pairs
        gmacs = TRAINED * _unet(params, row) * 2 * pairs
    momenta = [parameter for parameter in net.parameters() if parameter.requires_grad]
    checkpoint = _n_bytes([*net.state_dict().values(), *momenta])
    return Training(stage, row, gmacs, stored, KEPT * checkpoint)


def _finetuning_images(params: Params, protocol: Protocol, n_train: int) -> int:
    section = params.finetuning
    steps = section.steps.of(protocol) or steps_of_epochs(
        section.epochs, n_train, section.batch_images
    )
    return steps * section.batch_images


def _validations(params: Params, row: str, scale: Scale) -> float:
    return params.finetuning.evaluations * scale.n_validation * _unet(params, row)


def _finetuning(params: Params, row: str, scale: Scale) -> Training:
    """All cells of a row. At full scale outputs of fixed parts do not fit into memory."""
    section, unet = params.finetuning, _unet(params, row)
    encoder = _forward("encoder", *_size(params, row))
    passes: dict[Protocol, float] = {
        "frozen": unet,
        "half_frozen": encoder + TRAINED * (unet - encoder),
        "full": TRAINED * unet,
    }
    with torch.device("meta"):
        net = UNet2D(*_size(params, row)[:2], params.model.feature_channels)
    trained: dict[Protocol, int] = {
        "frozen": 0,
        "half_frozen": _n_bytes(net.decoder.state_dict().values()),
        "full": _n_bytes(net.state_dict().values()),
    }
    gmacs, stored = 0.0, 0
    for protocol, _ in params.cells(row):
        images = _finetuning_images(params, protocol, scale.n_train)
        gmacs += images * passes[protocol] + _validations(params, row, scale)
        stored += trained[protocol] if section.keep_weights else 0
    stage = "finetune_segmentation" if row in params.segmentation_rows else "finetune"
    return Training(stage, row, gmacs, stored, stored)


def _network(params: Params, row: str, network: str, scale: Scale) -> Training:
    section, published = params.networks, PUBLISHED[network]
    steps = section.steps or published.steps
    steps = steps or steps_of_epochs(published.epochs or 1, scale.n_train, section.batch_images)
    forward = _forward(network, *_size(params, row))
    images = TRAINED * steps * section.batch_images
    images += params.finetuning.evaluations * scale.n_validation
    return Training("finetune_network", row, forward * images, 0, 0)
