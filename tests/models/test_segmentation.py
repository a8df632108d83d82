"""DeepLabV3, DeepLabV3+ and PSPNet: published sizes, arithmetic, pretrained encoders."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from pipeline.models.loading import load_strict
from pipeline.models.segmentation import NETWORKS, make_network
from pipeline.models.segmentation.deeplab import RATES, AtrousPyramid, DeepLabV3, DeepLabV3Plus
from pipeline.models.segmentation.pspnet import BINS, PoolingPyramid, PSPNet
from pipeline.models.unet import UNet2D

SIZE = (48, 65)
ENCODER = 23_508_032
#: DeepLab's pyramid at full size: 1x1, three 3x3, the global and the joining 1x1, six BatchNorms.
PYRAMID = 2048 * 256 + 3 * 9 * 2048 * 256 + 2048 * 256 + 5 * 256 * 256 + 6 * 2 * 256


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def small(name: str, outputs: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return make_network(name, outputs, "resnet18", 0.125, 32)


def settled(module: nn.Module, x: torch.Tensor) -> nn.Module:
    """In eval mode, with running statistics that are not those of the start."""
    for _ in range(3):
        module(x)
    return module.eval()


@pytest.mark.parametrize(
    ("name", "outputs", "parameters"),
    [
        # torchvision's deeplabv3_resnet50 has 42,004,074 with an auxiliary head (3x3 to 256,
        # BatchNorm, 1x1 to 21).
        (
            "deeplabv3",
            21,
            42_004_074 - (9 * 1024 * 256 + 2 * 256 + 256 * 21 + 21),
        ),
        (
            "deeplabv3",
            20,
            ENCODER + PYRAMID + 9 * 256 * 256 + 2 * 256 + 256 * 20 + 20,
        ),
        (
            "deeplabv3plus",
            20,
            ENCODER
            + PYRAMID
            + (256 * 48 + 2 * 48)
            + (9 * (256 + 48) * 256 + 2 * 256)
            + (256 * 20 + 20),
        ),
        (
            "pspnet",
            20,
            ENCODER
            + 4 * (2048 * 512 + 2 * 512)
            + (9 * 4096 * 512 + 2 * 512 + 512 * 20 + 20)
            + (9 * 1024 * 256 + 2 * 256 + 256 * 20 + 20),
        ),
    ],
)
def test_full_size_has_the_published_parameters(name, outputs, parameters):
    with torch.device("meta"):
        network = make_network(name, outputs)
    assert count(network) == parameters


@pytest.mark.parametrize("name", NETWORKS)
def test_predictions_have_the_images_size_and_train_every_weight(name):
    network = small(name)
    predictions = network(torch.randn(2, 3, *SIZE))
    assert len(predictions) == 1 + len(network.auxiliary_weights) == (2 if name == "pspnet" else 1)
    assert all(prediction.shape == (2, 3, *SIZE) for prediction in predictions)
    sum(prediction.square().mean() for prediction in predictions).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    (prediction,) = network.eval()(torch.randn(1, 3, *SIZE))
    assert prediction.shape == (1, 3, *SIZE)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_pretrained_unets_encoder_fits(name):
    torch.manual_seed(1)
    unet, network = UNet2D("resnet18", 0.125, 8), small(name)
    load_strict(network.encoder, unet.encoder.state_dict(), "unet")
    images = torch.randn(1, 3, 64, 64)
    unet.eval()
    network.eval()
    assert torch.equal(network.encoder(images)[1], unet.encode(images)[1])


@pytest.mark.parametrize(("name", "stride"), [("deeplabv3", 16), ("pspnet", 8)])
def test_last_stage_has_the_output_stride(name, stride):
    stages = small(name).eval().encoder(torch.randn(1, 3, 96, 64))
    assert stages[-1].shape[2:] == (96 // stride, 64 // stride)


def test_wrong_name_lists_the_networks():
    with pytest.raises(ValueError, match=r"'deeplab'; known: deeplabv3, deeplabv3plus, pspnet"):
        make_network("deeplab", 3)


def test_pyramids_branches_see_nine_cells_at_their_rates():
    torch.manual_seed(0)
    pyramid = AtrousPyramid(1, 8).eval()
    x = torch.zeros(1, 1, 41, 41, requires_grad=True)
    for branch, rate in zip(pyramid.local, (None, *RATES), strict=True):
        reached = torch.autograd.grad(branch[0](x)[0, :, 20, 20].sum(), x)[0][0, 0]
        offsets = [-rate, 0, rate] if rate else [0]
        expected = {(20 + v, 20 + u) for v in offsets for u in offsets}
        assert {tuple(cell) for cell in reached.nonzero().tolist()} == expected


def batch_norm(module: nn.BatchNorm2d, x: torch.Tensor) -> torch.Tensor:
    scale = module.weight / (module.running_var + module.eps).sqrt()
    shape = (1, -1, 1, 1)
    return (x - module.running_mean.view(shape)) * scale.view(shape) + module.bias.view(shape)


def slow_dilated(x: torch.Tensor, weight: torch.Tensor, rate: int) -> torch.Tensor:
    """A 3x3 convolution as a sum over its taps at every cell."""
    _, _, height, width = x.shape
    out = torch.zeros(x.shape[0], weight.shape[0], height, width)
    for v in range(height):
        for u in range(width):
            for i in range(3):
                for j in range(3):
                    row, column = v + (i - 1) * rate, u + (j - 1) * rate
                    if 0 <= row < height and 0 <= column < width:
                        out[:, :, v, u] += x[:, :, row, column] @ weight[:, :, i, j].T
    return out


def test_atrous_pyramid_equals_a_slow_reference():
    torch.manual_seed(0)
    x = torch.randn(2, 4, 8, 9)
    pyramid = settled(AtrousPyramid(4, 3), x)
    first, *dilated = pyramid.local
    point = torch.einsum("oc,bchw->bohw", first[0].weight[..., 0, 0], x)
    branches = [functional.relu(batch_norm(first[1], point))]
    for branch, rate in zip(dilated, (6, 12, 18), strict=True):
        taps = slow_dilated(x, branch[0].weight, rate)
        branches.append(functional.relu(batch_norm(branch[1], taps)))
    mean = torch.einsum("oc,bc->bo", pyramid.image[1].weight[..., 0, 0], x.mean(dim=(2, 3)))
    whole = functional.relu(batch_norm(pyramid.image[2], mean[..., None, None]))
    branches.append(whole.expand_as(branches[0]))
    joint = torch.einsum(
        "oc,bchw->bohw", pyramid.project[0].weight[..., 0, 0], torch.cat(branches, dim=1)
    )
    expected = functional.relu(batch_norm(pyramid.project[1], joint))
    torch.testing.assert_close(pyramid(x), expected, rtol=1e-4, atol=1e-5)


def slow_means(x: torch.Tensor, bins: int) -> torch.Tensor:
    """Means over bins x bins parts, which overlap by a row where the size does not divide."""
    _, _, height, width = x.shape
    out = torch.empty(*x.shape[:2], bins, bins)
    for i in range(bins):
        for j in range(bins):
            rows = slice(i * height // bins, math.ceil((i + 1) * height / bins))
            columns = slice(j * width // bins, math.ceil((j + 1) * width / bins))
            out[:, :, i, j] = x[:, :, rows, columns].mean(dim=(2, 3))
    return out


def test_pooling_pyramid_equals_a_slow_reference():
    torch.manual_seed(0)
    x = torch.randn(2, 8, 13, 10)
    pyramid = settled(PoolingPyramid(8), x)
    expected = [x]
    for level, bins in zip(pyramid.levels, BINS, strict=True):
        assert level[1].weight.shape == (2, 8, 1, 1)
        reduced = torch.einsum("oc,bchw->bohw", level[1].weight[..., 0, 0], slow_means(x, bins))
        cells = functional.relu(batch_norm(level[2], reduced))
        expected.append(
            functional.interpolate(cells, (13, 10), mode="bilinear", align_corners=True)
        )
    torch.testing.assert_close(pyramid(x), torch.cat(expected, 1), rtol=1e-4, atol=1e-5)


def test_deeplabs_join_their_stages_as_published():
    images = torch.randn(2, 3, 64, 80)
    for kind, size in ((DeepLabV3, (4, 5)), (DeepLabV3Plus, (16, 20))):
        torch.manual_seed(0)
        network = settled(kind(3, "resnet18", 0.125, 32), images)
        first, *_, last = network.encoder(images)
        if kind is DeepLabV3:
            pyramid, rest = network.head[0], network.head[1:]
            x = pyramid(last)
        else:
            enlarged = functional.interpolate(
                network.pyramid(last), size, mode="bilinear", align_corners=False
            )
            rest = network.head
            x = torch.cat([network.low_level(first), enlarged], dim=1)
            assert network.low_level[0].out_channels == 6  # 48 of 256
        logits = rest(x)
        assert logits.shape[2:] == size
        expected = functional.interpolate(logits, (64, 80), mode="bilinear", align_corners=False)
        torch.testing.assert_close(network(images)[0], expected)


def test_pspnets_second_classifier_reads_the_third_stage():
    torch.manual_seed(0)
    network, images = PSPNet(3, "resnet18", 0.125, 32), torch.randn(2, 3, 64, 80)
    stages = network.encoder(images)
    for module in network.modules():
        if isinstance(module, nn.Dropout2d):
            module.p = 0.0
    seen = [network.head(stages[3]), network.auxiliary(stages[2])]
    for prediction, low in zip(network(images), seen, strict=True):
        expected = functional.interpolate(low, (64, 80), mode="bilinear", align_corners=True)
        torch.testing.assert_close(prediction, expected, rtol=1e-4, atol=1e-5)
    assert network.auxiliary_weights == (0.4,)


@pytest.mark.parametrize(
    ("name", "dropouts"), [("deeplabv3", 1), ("deeplabv3plus", 1), ("pspnet", 2)]
)
def test_dropout_is_a_tenth(name, dropouts):
    found = [m for m in small(name).modules() if isinstance(m, nn.Dropout | nn.Dropout2d)]
    assert [module.p for module in found] == [0.1] * dropouts
