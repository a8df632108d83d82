"""Pri3D's UNet: parameter counts, sizes, arithmetic; and the heads."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from pipeline.models.heads import EmbeddingHead, PixelMLP, PlainHead, resize
from pipeline.models.unet import UNet2D, UpProjection


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "channels", "encoder", "total"),
    # Measured on Pri3D's code (spec C.1), its pretraining head included.
    [("resnet50", 128, 23_508_032, 175_333_824), ("resnet18", 32, 11_176_512, 20_667_808)],
)
def test_full_size_has_pri3ds_parameters(name, channels, encoder, total):
    with torch.device("meta"):
        unet = UNet2D(name)
        head = EmbeddingHead(unet.feature_channels, channels)
    assert unet.feature_channels == channels
    assert count(unet.encoder) == encoder
    assert count(unet) + count(head) == total


@pytest.mark.parametrize(
    ("size", "stages", "features"),
    [
        ((240, 320), [(60, 80), (30, 40), (15, 20), (8, 10)], (120, 160)),
        ((96, 128), [(24, 32), (12, 16), (6, 8), (3, 4)], (48, 64)),
        ((37, 50), [(10, 13), (5, 7), (3, 4), (2, 2)], (19, 25)),
    ],
)
def test_sizes(size, stages, features):
    unet = UNet2D("resnet18", width=0.125, feature_channels=5).eval()
    images = torch.randn(1, 3, *size)
    encoded = unet.encode(images)
    assert [tuple(stage.shape[2:]) for stage in encoded] == stages
    decoded = unet.decode(encoded, size)
    assert decoded.shape == (1, 5, *features)
    assert torch.equal(decoded, unet(images))


def test_up_projection_resizes_first_and_adds_two_branches():
    torch.manual_seed(0)
    block = UpProjection(6, 3).eval()
    x = torch.randn(2, 6, 3, 4)
    large = functional.interpolate(x, (5, 8), mode="bilinear", align_corners=True)
    scale = (1 + 1e-5) ** -0.5  # BatchNorm with its initial statistics
    weights = {name: value for name, value in block.named_parameters() if value.ndim == 4}
    a5, a3, b5 = weights.values()
    assert [weight.shape[-1] for weight in (a5, a3, b5)] == [5, 3, 5]
    a = functional.relu(functional.conv2d(large, a5, padding=2) * scale)
    a = functional.conv2d(a, a3, padding=1) * scale
    b = functional.conv2d(large, b5, padding=2) * scale
    torch.testing.assert_close(block(x, (5, 8)), functional.relu(a + b))


def test_encoder_stages_are_added_to_the_first_three_blocks():
    torch.manual_seed(0)
    unet = UNet2D("resnet18", width=0.125).eval()
    stages = unet.encode(torch.randn(1, 3, 64, 64))
    x = stages[3]
    for block, skip in zip(unet.decoder.blocks, (stages[2], stages[1], stages[0]), strict=False):
        x = block(x, tuple(skip.shape[2:])) + skip
    expected = unet.decoder.blocks[3](x, (32, 32))
    assert torch.equal(unet.decode(stages, (64, 64)), expected)


def test_every_weight_gets_a_gradient():
    unet = UNet2D("resnet18", width=0.125)
    unet(torch.randn(2, 3, 64, 64)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in unet.parameters())


def test_settings_rebuild_the_network():
    unet = UNet2D("resnet18", width=0.125, feature_channels=7)
    assert str(UNet2D(**unet.settings)) == str(unet)


def test_pixel_mlp_acts_on_each_pixel_alone():
    torch.manual_seed(0)
    mlp = PixelMLP(4, 128, 3).eval()
    assert [type(layer).__name__ for layer in mlp] == ["Conv2d", "ReLU", "BatchNorm2d", "Conv2d"]
    assert count(mlp) == 4 * 128 + 128 + 2 * 128 + 128 * 3 + 3
    x = torch.randn(2, 4, 5, 6)
    alone = torch.stack([mlp(x[:, :, i : i + 1, 2:3])[..., 0, 0] for i in range(5)], dim=2)
    torch.testing.assert_close(mlp(x)[..., 2], alone)


def test_plain_head_is_linear_with_bias():
    head = PlainHead(4, 2)
    x = torch.randn(1, 4, 3, 3)
    expected = torch.einsum("oc,bchw->bohw", head.weight[..., 0, 0], x) + head.bias[:, None, None]
    torch.testing.assert_close(head(x), expected)


def test_resize_keeps_corners_and_linear_ramps():
    ramp = torch.linspace(0, 1, 5).expand(1, 1, 4, 5).contiguous()
    expected = torch.linspace(0, 1, 9).expand(1, 1, 8, 9)
    torch.testing.assert_close(resize(ramp, (8, 9)), expected)
