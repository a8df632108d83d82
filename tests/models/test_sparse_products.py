"""Blocks of gathered rows: any number of rows, both ways to multiply, precision, repeatability."""

import pytest
import torch

from pipeline.models.sparse import products
from pipeline.models.sparse.kernel_map import KernelMap
from pipeline.models.sparse.products import (
    CPU_BLOCK_ROWS,
    add_rows,
    add_transposed_product,
    gather,
    multiply,
)
from pipeline.models.sparse.torch_sites import TorchSites
from pipeline.models.sparse_unet import SparseUNet

#: Channels for which one row is enough work for oneDNN, and for which no block is.
WIDE, NARROW = 3000, 2


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("channels", [WIDE, NARROW])
@pytest.mark.parametrize("count", [1, 32, 33, 129, 700])
@pytest.mark.parametrize("kind", ["numbers", "range"])
def test_gathered_rows_are_followed_by_zeros_only(generator, channels, count, kind):
    source = torch.randn(800, channels, generator=generator)
    rows = slice(50, 50 + count)
    if kind == "numbers":
        rows = torch.randperm(800, generator=generator)[:count]
    gathered = gather(source, rows, channels**2)
    assert torch.equal(gathered[:count], source[rows])
    assert not gathered[count:].any()
    assert count <= len(gathered) < count + 128 + 512 * (channels == WIDE)
    assert (len(gathered) % 32 == 0) or channels == NARROW


def test_few_sizes_are_multiplied():
    """oneDNN keeps 1,024 kernels, three for each size and pair of channel counts."""
    source = torch.zeros(CPU_BLOCK_ROWS, 1)
    counts = range(1, CPU_BLOCK_ROWS + 1)
    sizes = {len(gather(source, slice(0, count), 10**8)) for count in counts}
    assert max(sizes) == CPU_BLOCK_ROWS
    assert len(sizes) <= 16


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layout", ["rows", "columns"])
def test_products(generator, dtype, layout, monkeypatch):
    shape = (192, 300) if layout == "rows" else (300, 192)
    a = torch.randn(*shape, generator=generator).to(dtype)
    a = a if layout == "rows" else a.T
    b = torch.randn(300, 160, generator=generator).to(dtype)
    expected = (a.double() @ b.double()).to(dtype)
    for least in (0, 10**12):  # by oneDNN where it can, and never
        monkeypatch.setattr(products, "_ONEDNN_FROM", least)
        for c, d in ((a, b), (b.T, a.T)):
            want = expected if c is a else expected.T
            torch.testing.assert_close(multiply(c, d), want, rtol=1e-2, atol=1e-4)
    assert multiply(a, b).dtype == dtype


@pytest.mark.parametrize("least", [0, 10**12])
@pytest.mark.parametrize("widths", [(20, 30), (30, 20)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_adding_transposed_products(generator, dtype, widths, least, monkeypatch):
    monkeypatch.setattr(products, "_ONEDNN_FROM", least)
    a, b = (torch.randn(64, width, generator=generator).to(dtype) for width in widths)
    target = torch.ones(widths)
    add_transposed_product(target, a, b)
    expected = (1 + a.double().T @ b.double()).float()
    torch.testing.assert_close(
        target, expected, rtol=1e-2, atol=1e-4 if a.dtype == target.dtype else 0.1
    )


@pytest.mark.parametrize("rows", [slice(2, 5), torch.tensor([4, 0, 2])])
def test_adding_leaves_the_fill(rows):
    target = torch.ones(6, 2)
    add_rows(target, rows, torch.tensor([[1.0, 2], [3, 4], [5, 6], [99, 99]]))
    expected = torch.ones(6, 2)
    expected[rows] += torch.tensor([[1.0, 2], [3, 4], [5, 6]])
    assert torch.equal(target, expected)


def test_blocks_hold_every_pair_once():
    n = 2 * CPU_BLOCK_ROWS + 7
    rows = torch.arange(n)
    nothing = rows[:0]
    kernel_map = KernelMap(((rows, rows.flip(0)), (nothing, nothing), None), n)
    assert {block.offset for block in kernel_map.blocks} == {0, 2}
    for offset, outputs in ((0, rows.flip(0)), (2, rows)):
        blocks = [block for block in kernel_map.blocks if block.offset == offset]
        assert torch.equal(torch.cat([rows[block.inputs] for block in blocks]), rows)
        assert torch.equal(torch.cat([outputs[rows[block.inputs]] for block in blocks]), outputs)
        assert max(len(rows[block.inputs]) for block in blocks) == CPU_BLOCK_ROWS


def cloud(generator, n_sites=3000):
    cells = torch.randperm(24**3, generator=generator)[:n_sites]
    batch = torch.zeros_like(cells)
    return torch.stack([batch, cells // 576, cells // 24 % 24, cells % 24], 1).int()


def test_wide_layers_in_float32_equal_double_precision(generator):
    """Wide enough for oneDNN, with blocks that are filled up."""
    coords = cloud(generator)
    features = torch.randn(len(coords), 64, generator=generator)
    weight = torch.randn(27, 64, 96, generator=generator)
    probe = torch.randn(len(coords), 96, generator=generator)
    results = []
    for dtype in (torch.float32, torch.float64):
        inputs = [x.detach().to(dtype).requires_grad_() for x in (features, weight)]
        output = TorchSites(coords).convolve(*inputs, 1)
        results.append([output, *torch.autograd.grad(output, inputs, probe.to(dtype))])
    for single, double in zip(*results, strict=True):
        assert (single - double).abs().max() <= 1e-5 * double.abs().max()


def test_a_network_repeats_itself_to_the_bit(generator):
    coords, features = cloud(generator), torch.rand(3000, 3, generator=generator)
    torch.manual_seed(1)
    net = SparseUNet(planes=(64, 96, 96, 64), blocks=(1, 1, 1, 1))
    runs = []
    for _ in range(2):
        net.zero_grad()
        output = net(coords, features)
        output.square().mean().backward()
        runs.append([output, *(parameter.grad for parameter in net.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def test_autocast_multiplies_in_half_precision_and_adds_in_single(generator):
    coords = cloud(generator, 1500)
    features = torch.randn(len(coords), 8, generator=generator, requires_grad=True)
    weight = torch.randn(27, 8, 8, generator=generator, requires_grad=True)
    rounded = [x.detach().bfloat16().double().requires_grad_() for x in (features, weight)]
    expected = TorchSites(coords).convolve(*rounded, 1)
    with torch.autocast("cpu", torch.bfloat16):
        output = TorchSites(coords).convolve(features, weight, 1)
    assert output.dtype == torch.bfloat16
    # Every product is rounded once, its sum once more: 2^-8 each.
    assert (output - expected).abs().max() <= 2**-7 * expected.abs().max()
    probe = torch.randn(output.shape, generator=generator).bfloat16()
    gradients = torch.autograd.grad(output, [features, weight], probe)
    for ours, exact in zip(
        gradients, torch.autograd.grad(expected, rounded, probe.double()), strict=True
    ):
        assert ours.dtype == torch.float32
        assert (ours - exact).abs().max() <= 2**-6 * exact.abs().max()
