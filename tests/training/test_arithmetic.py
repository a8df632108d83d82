"""bf16 rounds as bf16 does and nothing else, layout and compilation change rounding alone."""

import copy

import jaxtyping
import pytest
import torch
from torch import nn

from pipeline.config import Compute
from pipeline.models.segmentation import make_network
from pipeline.models.sparse_unet import SparseUNet
from pipeline.models.unet import Decoder, UNet2D
from pipeline.training.arithmetic import check_compiler, place
from pipeline.training.optimisation import TrainingError

CPU = torch.device("cpu")
BF16 = Compute(precision="bf16")

#: Each layer rounds its inputs, weights and outputs to 8 bits (a relative 2^-9 each); BatchNorm
#: keeps the scale, so the errors of about 30 layers add up like a random walk to 2 %.
BF16_ERROR = 0.05


def relative_error(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


def unet():
    torch.manual_seed(0)
    return UNet2D("resnet18", 0.125, 8)


def sparse():
    torch.manual_seed(0)
    return SparseUNet(planes=[8, 8, 8, 8], blocks=[1, 1, 1, 1], stem_channels=8, out_channels=8)


def images():
    return (torch.randn(4, 3, 48, 64, generator=torch.Generator().manual_seed(1)),)


def voxels():
    generator = torch.Generator().manual_seed(1)
    cells = torch.randint(0, 12, (900, 3), generator=generator).unique(dim=0).int()
    return torch.cat([torch.zeros_like(cells[:, :1]), cells], 1), torch.rand(cells.shape)


@pytest.mark.parametrize(("make", "inputs"), [(unet, images()), (sparse, voxels())])
def test_bf16_is_close_to_float32_and_leaves_float32(make, inputs):
    network, expected = place(make(), BF16, CPU), make()(*inputs)
    found = network(*inputs)
    assert found.dtype == torch.float32
    assert 1e-4 < relative_error(found, expected) < BF16_ERROR
    found.square().mean().backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in network.parameters())
    statistics = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    assert {tensor.dtype for tensor in (*network.parameters(), *statistics)} == {torch.float32}


@pytest.mark.parametrize(("make", "inputs"), [(unet, images()), (sparse, voxels())])
def test_gradients_in_bf16_point_the_same_way(make, inputs):
    def gradient(network):
        network(*inputs).square().mean().backward()
        return torch.cat([parameter.grad.reshape(-1) for parameter in network.parameters()])

    exact, rounded = gradient(make()), gradient(place(make(), BF16, CPU))
    assert torch.nn.functional.cosine_similarity(exact, rounded, dim=0) > 1 - BF16_ERROR


def test_parts_of_a_unet_called_alone_compute_in_bf16_too():
    """As half-frozen finetuning does."""
    network = place(unet(), BF16, CPU).eval()
    stages = network.encode(*images())
    assert {stage.dtype for stage in stages} == {torch.float32}
    assert all(torch.equal(stage, stage.bfloat16().float()) for stage in stages)
    assert torch.equal(network.decode(stages, (48, 64)), network(*images()))


def test_heads_stay_in_float32():
    network = place(nn.Sequential(unet(), nn.Conv2d(8, 2, 1)), BF16, CPU).eval()
    features = network[0](*images())
    assert torch.equal(network(*images()), nn.functional.conv2d(features, *network[1].parameters()))


def test_segmentation_networks_compute_in_bf16_and_return_float32():
    torch.manual_seed(0)
    network = make_network("pspnet", 3, "resnet18", 0.125, 16).eval()
    expected = network(*images())[0]
    (found,) = place(network, BF16, CPU)(*images())
    assert found.dtype == torch.float32
    assert 1e-4 < relative_error(found, expected) < BF16_ERROR


def test_a_copy_computes_with_its_own_weights():
    network = place(unet(), BF16, CPU).eval()
    other = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert other(*images()).abs().max() == 0
    assert network(*images()).abs().max() > 0


def test_state_dict_is_that_of_the_plain_network():
    network = place(unet(), Compute(precision="bf16", compile=True), CPU)
    plain = unet().state_dict()
    assert list(network.state_dict()) == list(plain)
    assert all(torch.equal(tensor, plain[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("channels_last", [True, False])
def test_layout(channels_last):
    network = place(unet(), Compute(channels_last=channels_last), CPU).eval()
    weight = network.decoder.blocks[0].branch_a[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last) == channels_last
    assert network(*images()).is_contiguous(memory_format=torch.channels_last) == channels_last
    torch.testing.assert_close(network(*images()), unet().eval()(*images()), atol=1e-4, rtol=1e-4)


def test_minkowski_engine_has_no_bf16():
    network = sparse()
    network.settings["backend"] = "minkowski"
    with pytest.raises(TrainingError, match=r"'minkowski' does not compute in bf16; .*precision"):
        place(network, BF16, CPU)


def test_without_a_compiler(tmp_path, monkeypatch):
    from torch._inductor import config

    torch._dynamo.reset()  # forgets what another test has compiled
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    with (
        config.patch({"cpp.cxx": ("no-such-compiler",), "force_disable_caches": True}),
        pytest.raises(
            TrainingError, match=r"torch.compile does not work here .*set compute.compile"
        ),
    ):
        check_compiler(CPU)


@pytest.mark.long
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_compiled_is_eager_up_to_rounding(precision, monkeypatch):
    # torch.compile would trace the tests' checks of shapes, too, and they fail on its tensors.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    torch.manual_seed(0)
    eager = Decoder([8, 16], 8)
    compiled = place(copy.deepcopy(eager), Compute(precision=precision, compile=True), CPU)
    place(eager, Compute(precision=precision), CPU)
    generator = torch.Generator().manual_seed(1)
    stages = [torch.randn(2, c, s, s, generator=generator) for c, s in ((8, 12), (16, 6))]
    found, expected = compiled(stages, (24, 24)), eager(stages, (24, 24))
    assert found.dtype == torch.float32
    bound = 1e-5 if precision == "float32" else BF16_ERROR
    assert relative_error(found, expected) < bound
    for output in (found, expected):
        output.square().mean().backward()
    for one, other in zip(compiled.parameters(), eager.parameters(), strict=True):
        assert relative_error(one.grad, other.grad) < 10 * bound
    for one, other in zip(compiled.buffers(), eager.buffers(), strict=True):
        torch.testing.assert_close(one, other, rtol=bound, atol=bound)
