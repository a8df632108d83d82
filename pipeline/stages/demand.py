"""How much a training asks for, so that a Slurm job of the embedded default is not one of 64 GB."""

from pipeline.config import Finetuning, Params, Protocol

#: The papers' pretraining: 5 epochs of 804,000 pairs in batches of 64 at 240 x 320 (spec C.6), and
#: 2 more in paper 001's second stage; MoCo v2 with 256 images a step, 100 epochs of the about
#: 100,000 frames; the code's finetuning: 80 epochs of about 20,000 images in batches of 8 (spec
#: D.5), and of other networks 50 in batches of 16, the longest of which is PSPNet's (spec D.3).
_PAPER_PIXELS = 240 * 320
_PAPER_PAIRS, _PAPER_EPOCHS, _PAPER_STEPS = 64, 5, 62_800
_PAPER_SECOND_EPOCHS, _PAPER_SECOND_STEPS = 2, 25_120
_MOCO_IMAGES, _MOCO_EPOCHS, _MOCO_STEPS = 256, 100, 39_000
_PAPER_IMAGES, _PAPER_FINETUNING_EPOCHS, _PAPER_FINETUNING_STEPS = 8, 80, 200_000
_NETWORK_IMAGES, _NETWORK_STEPS = 16, 62_500
#: Multiplications of ResNet18 as a share of those of ResNet50 (1.8 and 4.1 GMACs at 224 x 224).
_ENCODER_SHARE = {"resnet18": 0.44, "resnet50": 1.0}


def demand(params: Params) -> dict[str, str]:
    """Environment variables that slurm/profile.yaml may use in its expressions.

    One number holds for all jobs of a rule, so it is that of the most demanding row.

    Args:
        params: The run's.

    Returns:
        `PRETRAIN_STEP`, `FINETUNE_STEP`, `NETWORK_STEP`: one step as a share of the papers' (pixels
        times multiplications of the encoder); `PRETRAIN_WORK`, `CONTINUE_WORK` (second stage),
        `FINETUNE_WORK` (all tasks and protocols), `SEGMENTATION_WORK` (segmentation in full alone),
        `FRACTION_WORK` (on a part of the labels), `NETWORK_WORK`: the whole training likewise. 1 at
        the papers' scale.
    """
    height, width = params.dataset.image_size
    pixels = height * width / _PAPER_PIXELS * _model_share(params)
    pretraining, finetuning, second = params.pretraining, params.finetuning, params.second_stage
    pair_step = pixels * pretraining.batch_pairs / _PAPER_PAIRS
    finetune_step = pixels * finetuning.batch_images / _PAPER_IMAGES
    network_step = pixels * params.networks.batch_images / _NETWORK_IMAGES
    moco_step, moco_work = _moco(params, pixels)
    values = {
        "PRETRAIN_STEP": max(pair_step, moco_step),
        "PRETRAIN_WORK": max(
            _work(pretraining.steps, pair_step / _PAPER_STEPS)
            or pixels * pretraining.epochs / _PAPER_EPOCHS,
            moco_work,
        ),
        "CONTINUE_WORK": _work(second.steps, pair_step / _PAPER_SECOND_STEPS)
        or pixels * second.epochs / _PAPER_SECOND_EPOCHS,
        "FINETUNE_STEP": finetune_step,
        "FINETUNE_WORK": _finetuning_work(finetuning, pixels, finetune_step),
        "SEGMENTATION_WORK": _protocol_work(finetuning, "full", pixels, finetune_step),
        "FRACTION_WORK": _protocol_work(
            finetuning, "full", pixels * max(params.label_fractions.percents) / 100, finetune_step
        ),
        "NETWORK_STEP": network_step,
        "NETWORK_WORK": _work(params.networks.steps, network_step / _NETWORK_STEPS) or pixels,
    }
    return {name: f"{value:.6f}" for name, value in values.items()}


def _model_share(params: Params) -> float:
    rows = [params.variant(row) for row in (*params.first_stage, *params.all_rows)]
    encoders = {row.encoder or params.model.encoder for row in rows}
    return max(_ENCODER_SHARE[encoder] for encoder in encoders) * params.model.width**2


def _work(steps: int | None, of_step: float) -> float:
    """Steps of a given number; 0 if they come from epochs."""
    return (steps or 0) * of_step


def _moco(params: Params, pixels: float) -> tuple[float, float]:
    """Largest step and work of MoCo; 0 if no row asks for it."""
    steps, works = [0.0], [0.0]
    for moco in filter(None, (params.variants[name].moco for name in params.first_stage)):
        steps.append(pixels * moco.batch_images / _MOCO_IMAGES)
        by_steps = _work(moco.steps, steps[-1] / _MOCO_STEPS)
        works.append(by_steps or pixels * moco.epochs / _MOCO_EPOCHS)
    return max(steps), max(works)


def _protocol_work(
    section: Finetuning,
    protocol: Protocol,
    pixels: float,
    step: float,
) -> float:
    """Of one task; 1 at the papers' scale."""
    by_steps = _work(section.steps.of(protocol), step / _PAPER_FINETUNING_STEPS)
    return by_steps or pixels * section.epochs / _PAPER_FINETUNING_EPOCHS


def _finetuning_work(section: Finetuning, pixels: float, step: float) -> float:
    """1 for three protocols of three tasks at the papers' scale."""
    of_protocols = (_protocol_work(section, name, pixels, step) for name in section.protocols)
    return sum(of_protocols) * len(section.tasks) / 9
