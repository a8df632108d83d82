"""How much a training asks for, so that a Slurm job of the embedded default is not one of 64 GB."""

from pipeline.config import Finetuning, Model, Params

#: The papers' pretraining: 5 epochs of 804,000 pairs in batches of 64 at 240 x 320 (spec C.6); the
#: code's finetuning: 80 epochs of about 20,000 images in batches of 8 (spec D.5).
_PAPER_PIXELS = 240 * 320
_PAPER_PAIRS, _PAPER_EPOCHS, _PAPER_STEPS = 64, 5, 62_800
_PAPER_IMAGES, _PAPER_FINETUNING_EPOCHS, _PAPER_FINETUNING_STEPS = 8, 80, 200_000
#: Multiplications of ResNet18 as a share of those of ResNet50 (1.8 and 4.1 GMACs at 224 x 224).
_ENCODER_SHARE = {"resnet18": 0.44, "resnet50": 1.0}


def demand(params: Params) -> dict[str, str]:
    """Environment variables that slurm/profile.yaml may use in its expressions.

    Args:
        params: The run's.

    Returns:
        `PRETRAIN_STEP`, `FINETUNE_STEP`: one step as a share of the papers' (pixels times
        multiplications of the encoder); `PRETRAIN_WORK`, `FINETUNE_WORK`: the whole training
        likewise. 1 at the papers' scale.
    """
    height, width = params.dataset.image_size
    pixels = height * width / _PAPER_PIXELS * _model_share(params.model)
    pretraining, finetuning = params.pretraining, params.finetuning
    pretrain_step = pixels * pretraining.batch_pairs / _PAPER_PAIRS
    if pretraining.steps is None:
        pretrain_work = pixels * pretraining.epochs / _PAPER_EPOCHS
    else:
        pretrain_work = pretrain_step * pretraining.steps / _PAPER_STEPS
    finetune_step = pixels * finetuning.batch_images / _PAPER_IMAGES
    values = {
        "PRETRAIN_STEP": pretrain_step,
        "PRETRAIN_WORK": pretrain_work,
        "FINETUNE_STEP": finetune_step,
        "FINETUNE_WORK": _finetuning_work(finetuning, pixels, finetune_step),
    }
    return {name: f"{value:.6f}" for name, value in values.items()}


def _model_share(model: Model) -> float:
    return _ENCODER_SHARE[model.encoder] * model.width**2


def _finetuning_work(section: Finetuning, pixels: float, step: float) -> float:
    """1 for three protocols of three tasks at the papers' scale."""
    of_protocol = [
        step * section.steps[protocol] / _PAPER_FINETUNING_STEPS
        if protocol in section.steps
        else pixels * section.epochs / _PAPER_FINETUNING_EPOCHS
        for protocol in section.protocols
    ]
    return sum(of_protocol) * len(section.tasks) / 9
