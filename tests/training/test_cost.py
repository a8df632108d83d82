"""What trainings take: counted by hand, and the papers' own figure as the fixed point."""

from itertools import pairwise

import pytest

from pipeline.config import Params, load_params
from pipeline.training.cost import NYUV2, SCANNET, Rate, published_rate, rate_of_pairs, trainings
from tests.conftest import REPOSITORY

RATE = Rate(1.0, "GPU", "")


def preset(name: str, **sections: dict) -> Params:
    content = load_params(REPOSITORY / f"presets/{name}.yaml").model_dump()
    for section, changes in sections.items():
        content[section] |= changes
    return Params.model_validate(content)


def hours(params: Params, rate: Rate, scale=SCANNET) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for each in trainings(params, scale):
        key = (each.stage, each.row)
        found[key] = found.get(key, 0) + each.gmacs / rate.gmacs / 3600
    return found


def decoder_gmacs() -> float:
    """Spec C.1, of ResNet50 at 240 x 320: two 5x5 and one 3x3 convolution at each size."""
    channels, sizes = [2048, 1024, 512, 256, 128], [(15, 20), (30, 40), (60, 80), (120, 160)]
    return sum(
        (2 * 25 * inputs * outputs + 9 * outputs**2) * height * width / 1e9
        for (inputs, outputs), (height, width) in zip(pairwise(channels), sizes, strict=True)
    )


def test_full_finetuning_is_three_forward_passes_of_the_2d_network():
    params = preset("paper_001", finetuning={"evaluations": 1})
    found = {(each.stage, each.row): each for each in trainings(params, SCANNET)}
    images = 80 * 20_000 * 3 + 5_000
    # The encoder: 6.3 GMACs (torchvision's 4.1 at 224 x 224, by pixels).
    encoder = found["finetune_segmentation", "view"].gmacs / images - decoder_gmacs()
    assert encoder == pytest.approx(4.09 * 240 * 320 / 224**2, rel=0.03)
    small = found["finetune_segmentation", "view_r18"].gmacs / images
    assert small == pytest.approx(decoder_gmacs() / 16 + 1.81 * 240 * 320 / 224**2, rel=0.03)


def test_the_papers_steps_take_the_papers_time():
    params = preset("paper_000", pretraining={"steps": 60_000})
    found = hours(params, published_rate())
    assert found["pretrain", "view_geo_lin"] == pytest.approx(4 * 24 * 8)
    assert found["pretrain", "imagenet"] == 0
    epochs = hours(preset("paper_000"), published_rate())["pretrain", "view_geo_lin"]
    assert epochs == pytest.approx(768 * 5 * 804_000 / 64 / 60_000)


def test_a_throughput_of_ones_own():
    params = preset("paper_001")
    found = hours(params, rate_of_pairs(10.0, params))
    assert found["pretrain", "view"] == pytest.approx(5 * 804_000 / 10 / 3600)
    assert found["continue_pretraining", "view_geo_then_set"] == pytest.approx(
        2 * 804_000 / 10 / 3600
    )


def test_shares_of_the_stages():
    found = hours(preset("paper_001", finetuning={"evaluations": 1}), RATE)
    full = found["finetune_segmentation", "view_geo"]
    parts = found["finetune_fraction", "view_geo"]
    assert parts == pytest.approx((0.2 + 0.4 + 0.6 + 0.8) * full, rel=0.01)
    # Two DeepLabs of 50,000 steps of 16, and PSPNet, whose encoder is finer, of 62,500.
    networks = found["finetune_network", "view_geo"]
    assert 0.2 < networks / full < 0.5
    # MoCo: 100 epochs of 100,000 frames, four passes of the encoder alone.
    images = {"moco": 4 * 100 * 100_000, "view": 3 * 5 * 804_000 * 2}
    encoder = found["pretrain", "moco"] / images["moco"]
    unet = found["pretrain", "view"] / images["view"]
    assert unet - encoder == pytest.approx(decoder_gmacs() / 3600, rel=1e-3)


def test_protocols_of_paper_000():
    def finetune(protocols: list[str], **changes: object) -> dict[tuple[str, str], float]:
        section = {"protocols": protocols, "evaluations": 1, **changes}
        return hours(preset("paper_000", finetuning=section), RATE)

    frozen, half, full = (
        finetune([name])["finetune", "view"] for name in ("frozen", "half_frozen", "full")
    )
    assert full == pytest.approx(3 * frozen, rel=0.01)
    assert full - half == pytest.approx(full * 2 / 3 * 6.33 / 143.5, rel=0.02)
    together = finetune(["frozen", "half_frozen", "full"])
    assert together["finetune", "view"] == pytest.approx(frozen + half + full)
    # The supplement's rows have one cell of nine.
    assert together["finetune_segmentation", "view_d"] == pytest.approx(full / 3)


def test_bytes():
    """Parameters of spec C.1; the buffers of BatchNorm are a thousandth of them."""
    found = {(each.stage, each.row): each for each in trainings(preset("paper_001"), SCANNET)}
    unet = 4 * 175_317_312
    heads = 4 * (128 * 128 + 128 + 128 + 1)  # the embedding's and the depth's
    view, moco = found["pretrain", "view"], found["pretrain", "moco"]
    assert view.stored_bytes == pytest.approx(unet + heads, rel=1e-3)
    # Weights and momenta, two checkpoints; MoCo has a key encoder and a queue beside.
    assert view.scratch_bytes == pytest.approx(4 * view.stored_bytes, rel=1e-3)
    more = moco.scratch_bytes - 4 * unet
    assert more == pytest.approx(2 * 4 * (23_508_032 + 3 * 2048 * 2176 + 65_536 * 128), rel=0.01)
    assert found["finetune_segmentation", "view"].stored_bytes == pytest.approx(unet, rel=1e-3)
    discarded = preset("paper_001", finetuning={"keep_weights": False})
    assert not any(
        each.stored_bytes
        for each in trainings(discarded, SCANNET)
        if each.stage == "finetune_segmentation"
    )


def test_the_second_dataset_pretrains_nothing():
    stages = {each.stage for each in trainings(preset("paper_001_nyuv2"), NYUV2)}
    assert stages == {"finetune_segmentation"}
