"""Plain torch against the real MinkowskiEngine: every layer, whole networks, checkpoints.

Skipped where MinkowskiEngine is not installed, failing there if REQUIRE_MINKOWSKI is set (.ci/run).
"""

import os
import sys

import pytest
import torch
from torch import Tensor, nn

from benchmarks.sparse.minkunet import MinkUNet34C, load_pipelines
from pipeline.models.loading import load_strict, read_state
from pipeline.models.sparse.backend import SPARSE_BACKENDS
from pipeline.models.sparse.layers import (
    SparseConv3d,
    SparseDownsample,
    SparseTensor,
    SparseUpsample,
)
from pipeline.models.sparse.minkowski_sites import MinkowskiSites, import_engine
from pipeline.models.sparse.sites import Sites
from pipeline.models.sparse_unet import SparseUNet
from pipeline.training.checkpoint import save_tensors

REQUIRED = "REQUIRE_MINKOWSKI"


def require_engine() -> None:
    """Skip without MinkowskiEngine, or fail where it has to be there."""
    try:
        import_engine()
    except ModuleNotFoundError as error:
        (pytest.fail if os.environ.get(REQUIRED) else pytest.skip)(str(error))


@pytest.fixture(scope="module", autouse=True)
def _engine() -> None:
    require_engine()


def surface(n_batches: int = 3, seed: int = 0) -> Tensor:
    """Sites of wavy surfaces and some strays, in several batches, negative too, shuffled."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for batch in range(n_batches):
        x, y = torch.cartesian_prod(torch.arange(-9, 9), torch.arange(-11, 5)).unbind(1)
        z = ((x * 0.4 + batch).sin() * 3 + (y * 0.3).cos() * 4).floor().long()
        strays = torch.randint(-14, 14, (40, 3), generator=generator)
        xyz = torch.cat([torch.stack([x, y, z], 1), strays])
        parts.append(torch.cat([torch.full((len(xyz), 1), batch), xyz], 1))
    coords = torch.unique(torch.cat(parts), dim=0).int()
    return coords[torch.randperm(len(coords), generator=generator)]


def descend(sites: Sites, features: Tensor, stride: int) -> Tensor:
    """Sums of the features of stride 1 over the sites of `stride`."""
    weight = torch.eye(features.shape[1], dtype=features.dtype).expand(8, -1, -1).contiguous()
    for level in range(stride.bit_length() - 1):
        features = sites.downsample(features, weight, 2**level)
    return features


def canonical_order(coords: Tensor, sites: Sites, stride: int) -> Tensor:
    """Rows of the sites of `stride`, by batch, x, y, z: a backend may have them in any order."""
    moments = descend(sites, torch.cat([torch.ones(len(coords), 1), coords], 1).double(), stride)
    place = (moments[:, 1:] / moments[:, :1]).div(torch.tensor([1, *[stride] * 3])).floor().long()
    return torch.unique(place, dim=0, return_inverse=True)[1].argsort()


def assert_close(actual: Tensor, expected: Tensor, relative: float) -> None:
    """Largest difference over the largest value."""
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= relative * expected.abs().max()


LAYERS = {
    "1x1x1": lambda: SparseConv3d(5, 7, 1, bias=True),
    "3x3x3": lambda: SparseConv3d(5, 7, 3),
    "3x3x3 with bias": lambda: SparseConv3d(5, 7, 3, bias=True),
    "5x5x5": lambda: SparseConv3d(5, 7, 5),
    "down": lambda: SparseDownsample(5, 7),
    "up": lambda: SparseUpsample(5, 7),
}


def run_layer(backend: str, layer: nn.Module, coords: Tensor, stride: int) -> list[Tensor]:
    """Output, gradient of the input (rows in canonical order) and of the parameters."""
    sites = SPARSE_BACKENDS[backend](coords)
    # Fixes the coarser sites too, which upsampling presumes.
    orders = {s: canonical_order(coords, sites, s) for s in (1, 2, 4, 8)}
    generator = torch.Generator().manual_seed(2)
    features = torch.empty(len(orders[stride]), 5)
    features[orders[stride]] = torch.randn(features.shape, generator=generator)
    features.requires_grad_()
    output = layer(SparseTensor(features, sites, stride))
    probe = torch.empty(output.features.shape)
    probe[orders[output.stride]] = torch.randn(probe.shape, generator=generator)
    gradients = torch.autograd.grad(output.features, [features, *layer.parameters()], probe)
    return [output.features[orders[output.stride]], gradients[0][orders[stride]], *gradients[1:]]


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("kind", LAYERS)
def test_layers(kind, stride):
    torch.manual_seed(1)
    layer, coords = LAYERS[kind](), surface()
    stride = 2 * stride if kind == "up" else stride
    expected = run_layer("minkowski", layer, coords, stride)
    for ours, theirs in zip(run_layer("torch", layer, coords, stride), expected, strict=True):
        assert_close(ours, theirs, 1e-5)


def run_net(net: nn.Module, coords: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """Output and gradient of the input; the parameters' gradients stay in the network."""
    features = features.clone().requires_grad_()
    output = net(coords, features)
    probe = torch.randn(output.shape, generator=torch.Generator().manual_seed(3))
    output.backward(probe.to(output.dtype))
    return output.detach(), features.grad


def assert_same_run(ours: nn.Module, theirs: nn.Module, coords: Tensor, relative: float) -> None:
    features = torch.rand(len(coords), 3, generator=torch.Generator().manual_seed(4))
    features = features.to(next(ours.parameters()).dtype)
    for a, b in zip(
        run_net(ours, coords, features), run_net(theirs, coords, features), strict=True
    ):
        assert_close(a, b, relative)
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        assert_close(parameter.grad, gradients[name], relative)
    for name, buffer in ours.named_buffers():  # running statistics
        assert_close(buffer, dict(theirs.named_buffers())[name], relative)


SMALL = {
    "planes": (8, 12, 16, 24, 24, 16, 12, 8),
    "blocks": (1, 2, 1, 1, 1, 1, 2, 1),
    "stem_channels": 6,
    "out_channels": 5,
}


@pytest.mark.parametrize("train", [True, False])
def test_network_in_double_precision(train):
    torch.manual_seed(5)
    ours = SparseUNet(**SMALL).double().train(train)
    theirs = SparseUNet(**SMALL, backend="minkowski").double().train(train)
    theirs.load_state_dict(ours.state_dict())
    assert_same_run(ours, theirs, surface(), 1e-8)


def test_full_size_network_equals_minkowskiengines():
    """MinkUNet34C by its published structure, in MinkowskiEngine's own layers."""
    torch.manual_seed(6)
    ours, theirs = SparseUNet().double(), MinkUNet34C(3, 96).double()
    counts = [sum(p.numel() for p in net.parameters()) for net in (ours, theirs)]
    assert counts == [37_863_424] * 2
    load_pipelines(theirs, ours.state_dict())
    coords = surface(1)
    features = torch.rand(len(coords), 3, dtype=torch.float64)
    for a, b in zip(
        run_net(ours, coords, features), run_net(theirs, coords, features), strict=True
    ):
        assert_close(a, b, 1e-8)


@pytest.mark.parametrize(("source", "target"), [("torch", "minkowski"), ("minkowski", "torch")])
def test_checkpoints_are_exchangeable(source, target, tmp_path):
    torch.manual_seed(7)
    first, second = (SparseUNet(**SMALL, backend=backend) for backend in (source, target))
    run_net(first, surface(1), torch.rand(len(surface(1)), 3))  # running statistics move
    file = tmp_path / "model.safetensors"
    save_tensors(file, first.state_dict())
    load_strict(second, read_state(file), file)
    first.eval(), second.eval()
    features = torch.rand(len(surface()), 3)
    assert_close(second(surface(), features), first(surface(), features), 1e-5)


@pytest.mark.parametrize("n_sites", [0, 1])
def test_no_or_one_site(n_sites):
    features = torch.ones(n_sites, 3, requires_grad=True)
    net = SparseUNet(**SMALL, backend="minkowski").eval()
    output = net(torch.zeros(n_sites, 4, dtype=torch.int32), features)
    assert output.shape == (n_sites, 5)
    output.sum().backward()
    assert features.grad.shape == features.shape


def test_autocast_leaves_minkowskiengine_its_precision():
    torch.manual_seed(8)
    net, coords = SparseUNet(**SMALL, backend="minkowski"), surface(1)
    features = torch.rand(len(coords), 3)
    expected = net(coords, features)
    with torch.autocast("cpu", torch.bfloat16):
        assert_close(net(coords, features).float(), expected, 0.05)


def test_unusable_sites_are_named():
    with pytest.raises(ValueError, match="1 duplicate sites"):
        MinkowskiSites(torch.zeros(2, 4, dtype=torch.int32))
    with pytest.raises(ValueError, match=r"built for the CPU, the sites are on meta.*torch"):
        MinkowskiSites(torch.zeros(0, 4, dtype=torch.int32, device="meta"))


def test_a_required_engine_that_is_missing_is_a_failure(monkeypatch):
    monkeypatch.setitem(sys.modules, "MinkowskiEngine", None)
    monkeypatch.delenv(REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="make minkowski"):
        require_engine()
    monkeypatch.setenv(REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="make minkowski"):
        require_engine()
