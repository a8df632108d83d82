"""The sparse UNet: MinkUNet34C's size, and what a convolutional network must not depend on."""

import pytest
import torch

from pipeline.models.sparse_unet import SparseUNet

SMALL = {"planes": [6, 8, 8, 6], "blocks": [1, 2, 1, 1], "stem_channels": 4, "out_channels": 5}


@pytest.fixture
def net():
    torch.manual_seed(0)
    return SparseUNet(**SMALL)


@pytest.fixture
def voxels():
    generator = torch.Generator().manual_seed(1)
    cells = torch.randperm(2 * 12**3, generator=generator)[:500]
    coords = torch.stack([cells // 12**3, cells // 144 % 12, cells // 12 % 12, cells % 12], 1).int()
    return coords, torch.rand(500, 3, generator=generator)


def minkunet34c_parameters(in_channels=3, out_channels=96):
    """Counted from the description in spec C.2, one line per part."""

    def block(inputs, planes):
        shortcut = inputs * planes + 2 * planes if inputs != planes else 0
        return 27 * inputs * planes + 27 * planes**2 + 2 * 2 * planes + shortcut

    def stage(inputs, planes, count):
        return block(inputs, planes) + (count - 1) * block(planes, planes)

    total = 125 * in_channels * 32 + 2 * 32
    for inputs, planes, count in [(32, 32, 2), (32, 64, 3), (64, 128, 4), (128, 256, 6)]:
        total += 8 * inputs * inputs + 2 * inputs + stage(inputs, planes, count)
    for inputs, planes, skip in [(256, 256, 128), (256, 128, 64), (128, 96, 32), (96, 96, 32)]:
        total += 8 * inputs * planes + 2 * planes + stage(planes + skip, planes, 2)
    return total + 96 * out_channels + out_channels


def test_full_size_is_minkunet34c():
    with torch.device("meta"):
        net = SparseUNet()
    count = sum(parameter.numel() for parameter in net.parameters())
    assert count == minkunet34c_parameters()
    assert round(count / 1e6, 1) == 37.9  # as published for MinkowskiNet42 / MinkUNet34C


def test_initial_weights_are_kaiming_fan_out():
    torch.manual_seed(0)
    net = SparseUNet(planes=[32, 32], blocks=[1, 1], stem_channels=32)
    weight = net.down[0][1][0].second.convolution.weight
    assert weight.std().item() == pytest.approx((2 / (27 * 32)) ** 0.5, rel=0.02)


def test_shapes_and_gradients(net, voxels):
    coords, features = voxels
    features.requires_grad_()
    output = net(coords, features)
    assert output.shape == (500, 5)
    output.square().mean().backward()
    assert features.grad.abs().sum() > 0
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_output_follows_the_order_of_the_input(net, voxels):
    coords, features = voxels
    order = torch.randperm(500, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(
        net(coords[order], features[order]), net(coords, features)[order], rtol=1e-4, atol=1e-5
    )


def test_batches_do_not_leak(net, voxels):
    coords, features = voxels
    net.eval()
    first = coords[:, 0] == 0
    torch.testing.assert_close(net(coords, features)[first], net(coords[first], features[first]))


def test_translation_by_the_coarsest_stride_changes_nothing(net, voxels):
    coords, features = voxels
    net.eval()
    moved = coords + torch.tensor([0, 4, -8, 12], dtype=torch.int32)
    torch.testing.assert_close(net(coords, features), net(moved, features))


def test_no_voxels_give_no_embeddings(net):
    net.eval()
    assert net(torch.zeros(0, 4, dtype=torch.int32), torch.zeros(0, 3)).shape == (0, 5)


def test_settings_rebuild_the_network(net):
    other = SparseUNet(**net.settings)
    other.load_state_dict(net.state_dict())
    assert str(other) == str(net)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="same even length"):
        SparseUNet(planes=[4, 4], blocks=[1])
    with pytest.raises(ValueError, match="at least 1"):
        SparseUNet(planes=[4, 4], blocks=[1, 0])
    with pytest.raises(ValueError, match="spconv"):
        SparseUNet(backend="spconv")


def test_a_scene_of_one_voxel_trains() -> None:
    network = SparseUNet(3, 4, planes=(8, 8), blocks=(1, 1), stem_channels=8).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    output = network(torch.zeros(1, 4, dtype=torch.int32), torch.rand(1, 3))
    output.sum().backward()
    assert output.shape == (1, 4)
    assert torch.isfinite(output).all()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name  # no statistics of a single voxel
