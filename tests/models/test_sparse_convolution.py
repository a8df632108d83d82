"""Sparse convolution against dense convolution at the occupied sites, values and gradients."""

import pytest
import torch
from torch.nn import functional

from pipeline.models.sparse.backend import sparse_backend
from pipeline.models.sparse.kernel_map import downsample_map, neighbour_map, pack_keys
from pipeline.models.sparse.layers import (
    SparseConv3d,
    SparseDownsample,
    SparseTensor,
    SparseUpsample,
)
from pipeline.models.sparse.torch_sites import TorchSites

SIZE = 6
ORIGIN = -4  # even, so that 2x2x2 cells of the dense grid are those of the sites


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def random_sites(generator, n_batches=2, n_sites=70):
    """Shuffled sites (N, 4) with negative coordinates, in every batch."""
    coords = torch.cat(
        [
            torch.cat(
                [
                    torch.full((n_sites, 1), batch),
                    torch.cartesian_prod(*[torch.arange(SIZE)] * 3)[
                        torch.randperm(SIZE**3, generator=generator)[:n_sites]
                    ]
                    + ORIGIN,
                ],
                dim=1,
            )
            for batch in range(n_batches)
        ]
    )
    return coords[torch.randperm(len(coords), generator=generator)].int()


def index(coords, origin=ORIGIN):
    b, x, y, z = coords.long().unbind(1)
    return b, x - origin, y - origin, z - origin


def dense(coords, features, size=SIZE, origin=ORIGIN):
    """Features on a dense grid (B, C, X, Y, Z)."""
    b, x, y, z = index(coords, origin)
    grid = features.new_zeros(int(b.max()) + 1, size, size, size, features.shape[1])
    return grid.index_put((b, x, y, z), features).permute(0, 4, 1, 2, 3)


def at_sites(grid, coords, origin=ORIGIN):
    b, x, y, z = index(coords, origin)
    return grid[b, :, x, y, z]


def dense_weight(weight, kernel_size):
    """(K, in, out), x fastest, to (out, in, x, y, z)."""
    cube = weight.reshape(kernel_size, kernel_size, kernel_size, *weight.shape[1:])
    return cube.permute(4, 3, 2, 1, 0)


def assert_same_values_and_gradients(actual, expected, inputs, generator):
    torch.testing.assert_close(actual, expected)
    probe = torch.randn(actual.shape, generator=generator, dtype=actual.dtype)
    for ours, reference in zip(
        torch.autograd.grad(actual, inputs, probe),
        torch.autograd.grad(expected, inputs, probe),
        strict=True,
    ):
        torch.testing.assert_close(ours, reference)


def tensor(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_convolution(generator, kernel_size):
    coords = random_sites(generator)
    features = tensor(generator, len(coords), 3)
    weight = tensor(generator, kernel_size**3, 3, 4)
    actual = TorchSites(coords).convolve(features, weight, 1)
    grid = functional.conv3d(
        dense(coords, features), dense_weight(weight, kernel_size), padding=kernel_size // 2
    )
    expected = at_sites(grid, coords)
    assert_same_values_and_gradients(actual, expected, (features, weight), generator)


def coarse_sites(coords):
    """Expected coarse sites in order of batch, x, y, z."""
    cells = {(b, x // 2, y // 2, z // 2) for b, x, y, z in coords.tolist()}
    return torch.tensor(sorted(cells), dtype=torch.int32)


def test_downsampling_and_upsampling(generator):
    coords = random_sites(generator)
    coarse = coarse_sites(coords)
    assert torch.equal(downsample_map(coords)[0], coarse)
    sites = TorchSites(coords)
    features, weight = tensor(generator, len(coords), 3), tensor(generator, 8, 3, 4)
    actual = sites.downsample(features, weight, 1)
    kernel = dense_weight(weight, 2)
    grid = functional.conv3d(dense(coords, features), kernel, stride=2)
    expected = at_sites(grid, coarse, ORIGIN // 2)
    assert_same_values_and_gradients(actual, expected, (features, weight), generator)

    features, weight = tensor(generator, len(coarse), 4), tensor(generator, 8, 4, 3)
    actual = sites.upsample(features, weight, 2)
    grid = functional.conv_transpose3d(
        dense(coarse, features, SIZE // 2, ORIGIN // 2),
        dense_weight(weight, 2).transpose(0, 1),
        stride=2,
    )
    expected = at_sites(grid, coords)
    assert_same_values_and_gradients(actual, expected, (features, weight), generator)


def test_convolution_at_a_coarser_stride(generator):
    coords = random_sites(generator)
    coarse = coarse_sites(coords)
    sites = TorchSites(coords)
    sites.downsample(torch.zeros(len(coords), 1), torch.zeros(8, 1, 1), 1)
    features = torch.randn(len(coarse), 2, generator=generator)
    weight = torch.randn(27, 2, 3, generator=generator)
    torch.testing.assert_close(
        sites.convolve(features, weight, 2), TorchSites(coarse).convolve(features, weight, 1)
    )


def test_weights_count_x_fastest():
    """The layout of MinkowskiEngine's kernels, so that checkpoints can be exchanged."""
    coords = torch.tensor([[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]).int()
    features = torch.tensor([[0.0], [1.0], [10.0], [100.0]])
    weight = torch.zeros(27, 1, 1)
    for offset, expected in [(13, 0.0), (14, 1.0), (16, 10.0), (22, 100.0)]:
        one = weight.clone()
        one[offset] = 1
        assert TorchSites(coords).convolve(features, one, 1)[0].item() == expected
    down = torch.arange(8.0).reshape(8, 1, 1)
    total = TorchSites(coords).downsample(features, down, 1)
    assert total.item() == 1 * 1 + 10 * 2 + 100 * 4


def test_layers_pass_gradcheck(generator):
    coords = random_sites(generator, n_sites=5)
    layers = [SparseConv3d(2, 3, 3, bias=True), SparseDownsample(3, 2), SparseUpsample(2, 2)]
    net = torch.nn.Sequential(*layers).double()
    parameters = tuple(net.parameters())

    def forward(features, *_):
        return net(SparseTensor(features, TorchSites(coords))).features

    assert torch.autograd.gradcheck(forward, (tensor(generator, len(coords), 2), *parameters))


def test_order_of_sites_does_not_matter(generator):
    coords = random_sites(generator)
    features = torch.randn(len(coords), 2, generator=generator)
    weight = torch.randn(27, 2, 3, generator=generator)
    order = torch.randperm(len(coords), generator=generator)
    torch.testing.assert_close(
        TorchSites(coords).convolve(features, weight, 1)[order],
        TorchSites(coords[order]).convolve(features[order], weight, 1),
    )


def test_batches_do_not_leak_at_the_borders_of_the_grid(generator):
    """Full grids, so that the last row of one batch and the first of the next are occupied."""
    grid = torch.cartesian_prod(torch.arange(2), *[torch.arange(3)] * 3).int()
    features = torch.randn(len(grid), 2, generator=generator)
    for kernel_size in (3, 5):
        weight = torch.randn(kernel_size**3, 2, 2, generator=generator)
        together = TorchSites(grid).convolve(features, weight, 1)
        for batch in range(2):
            own = grid[:, 0] == batch
            alone = TorchSites(grid[own]).convolve(features[own], weight, 1)
            torch.testing.assert_close(together[own], alone)


def test_neighbour_map_equals_a_loop_over_all_pairs(generator):
    coords = random_sites(generator, n_sites=30)
    rows = {tuple(site): row for row, site in enumerate(coords.tolist())}
    pairs = neighbour_map(coords, 3).pairs
    assert pairs[13] is None
    for offset, pair in enumerate(pairs):
        if pair is None:
            continue
        dx, dy, dz = offset % 3 - 1, offset // 3 % 3 - 1, offset // 9 - 1
        expected = {
            (rows[neighbour], row)
            for (b, x, y, z), row in rows.items()
            if (neighbour := (b, x + dx, y + dy, z + dz)) in rows
        }
        found = list(zip(pair[0].tolist(), pair[1].tolist(), strict=True))
        assert len(found) == len(expected)
        assert set(found) == expected


@pytest.mark.parametrize("n_sites", [0, 1])
def test_no_or_one_site(n_sites):
    coords = torch.zeros(n_sites, 4, dtype=torch.int32)
    features = torch.ones(n_sites, 2, requires_grad=True)
    layers = [SparseConv3d(2, 3, 3), SparseDownsample(3, 4), SparseConv3d(4, 4, 3)]
    net = torch.nn.Sequential(*layers, SparseUpsample(4, 1))
    output = net(SparseTensor(features, TorchSites(coords))).features
    assert output.shape == (n_sites, 1)
    output.sum().backward()
    assert features.grad.shape == features.shape


def test_duplicate_sites_are_an_error():
    coords = torch.tensor([[0, 1, 2, 3], [1, 1, 2, 3], [0, 1, 2, 3]], dtype=torch.int32)
    with pytest.raises(ValueError, match=r"1 duplicate sites, one at .* = \(0, 1, 2, 3\)"):
        TorchSites(coords)


def test_far_apart_sites():
    far = 2**19
    coords = torch.tensor([[0, -far, -far, -far], [0, far, far - 1, far]], dtype=torch.int32)
    coords = torch.cat([coords, coords + torch.tensor([0, 0, 1, 0], dtype=torch.int32)])
    weight = torch.ones(27, 1, 1)
    output = TorchSites(coords[[0, 1, 3]]).convolve(torch.ones(3, 1), weight, 1)
    assert output[:, 0].tolist() == [1, 2, 2]
    huge = torch.tensor([[0] + 3 * [-(2**30)], [0] + 3 * [2**30]], dtype=torch.int32)
    with pytest.raises(ValueError, match="span too many cells"):
        pack_keys(huge, 0)


def test_kernel_maps_are_made_once_per_stride(generator):
    sites = TorchSites(random_sites(generator))
    for _ in range(2):
        coarse = sites.downsample(torch.zeros(140, 1), torch.zeros(8, 1, 1), 1)
        for kernel_size in (3, 5):
            sites.convolve(torch.zeros(140, 1), torch.zeros(kernel_size**3, 1, 1), 1)
        sites.convolve(coarse, torch.zeros(27, 1, 1), 2)
    assert set(sites._neighbours) == {(1, 3), (1, 5), (2, 3)}
    assert set(sites._downsampling) == {1}


def test_frozen_weights_and_inputs_need_no_gradient(generator):
    coords = random_sites(generator)
    features, weight = tensor(generator, len(coords), 2), tensor(generator, 27, 2, 2)
    sites = TorchSites(coords)
    for inputs in [(features, weight.detach()), (features.detach(), weight)]:
        sites.convolve(*inputs, 1).sum().backward()
    assert features.grad is not None
    assert weight.grad is not None


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"'spconv' is unknown; use one of: torch, minkowski"):
        sparse_backend("spconv")
    with pytest.raises(ValueError, match="kernel_size must be odd, is 2"):
        SparseConv3d(1, 1, 2)
