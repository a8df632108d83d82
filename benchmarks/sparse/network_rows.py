"""Rows: the whole 3D network, forward and backward, on 50,000 voxels and smaller."""

import json
import os
import time
from collections.abc import Iterator

import torch
from torch import nn

from benchmarks.geometry.measure import in_fresh_process
from benchmarks.geometry.rows import Row, SkippedError
from benchmarks.sparse.minkunet import MinkUNet34C, load_pipelines
from benchmarks.sparse.steps import Costs, device_clock, difference, take_turns
from benchmarks.sparse.voxels import RoomVoxels
from pipeline.config import load_params
from pipeline.models.sparse_unet import SparseUNet

N_VOXELS, SMALL_VOXELS = 50_000, 20_000
REPEATS, QUICK_REPEATS = 9, 1
#: Largest difference of the outputs, float32 sums in another order through 64 layers.
EQUAL = 1e-3


def _repeats(quick: bool) -> int:
    return QUICK_REPEATS if quick else REPEATS


def _networks() -> tuple[SparseUNet, MinkUNet34C]:
    """MinkUNet34C of the pipeline and in MinkowskiEngine's layers, with the same weights."""
    torch.manual_seed(0)
    ours, peer = SparseUNet(), MinkUNet34C(3, 96)
    load_pipelines(peer, ours.state_dict())
    return ours, peer


def whole_rows(room: RoomVoxels, quick: bool) -> Iterator[Row]:
    """MinkUNet34C, one thread."""
    ours, peer = _networks()
    costs = take_turns(
        {"ours": ours, "peer": peer}, lambda index: room.cut(index, N_VOXELS), _repeats(quick)
    )
    yield from _rows(f"MinkUNet34C, {N_VOXELS:,} voxels", costs, "s CPU", 1.3)


def small_rows(room: RoomVoxels, quick: bool) -> Iterator[Row]:
    """The embedded default's network, one thread."""
    model = load_params("presets/embedded.yaml").model
    sizes = {
        "planes": model.sparse_planes,
        "blocks": model.sparse_blocks,
        "stem_channels": model.sparse_stem_channels,
    }
    nets = {name: SparseUNet(**sizes, backend=name) for name in ("torch", "minkowski")}
    nets["minkowski"].load_state_dict(nets["torch"].state_dict())
    costs = take_turns(nets, lambda index: room.cut(index, SMALL_VOXELS), 3 * _repeats(quick))
    costs = {"ours": costs["torch"], "peer": costs["minkowski"]}
    yield from _rows(f"embedded default's network, {SMALL_VOXELS:,} voxels", costs, "s CPU", 1.0)


def cores_rows(room: RoomVoxels, quick: bool) -> Iterator[Row]:
    """MinkUNet34C on two threads, in a fresh process.

    Raises:
        SkippedError: the cores are not free, so that threads would wait for each other.
    """
    load = os.getloadavg()[0]
    # This process itself has kept one core busy.
    if load > len(os.sched_getaffinity(0)) - 0.5:
        raise SkippedError(f"wall time needs idle cores, the load is {load:.1f}")
    run = in_fresh_process(_wall_seconds, _repeats(quick), environment={"OMP_NUM_THREADS": "2"})
    ours, peer = json.loads(run.value)
    yield Row(
        f"MinkUNet34C, {N_VOXELS:,} voxels: forward and backward, two threads",
        "s wall",
        ours,
        peer,
        compilation="no numba",
        note="informs only: wall time",
    )


def _wall_seconds(repeats: int) -> str:
    room, (ours, peer) = RoomVoxels(), _networks()
    nets: dict[str, nn.Module] = {"ours": ours, "peer": peer}
    costs = take_turns(nets, lambda i: room.cut(i, N_VOXELS), repeats, time.perf_counter)
    return json.dumps([costs[name].medians[2] for name in nets])


def gpu_rows(room: RoomVoxels, quick: bool) -> Iterator[Row]:
    """MinkUNet34C on a GPU: bf16 autocast beside float32, both on plain torch.

    Raises:
        SkippedError: there is no GPU.
    """
    if not torch.cuda.is_available():
        raise SkippedError("no CUDA device")
    device = torch.device("cuda")
    torch.manual_seed(0)
    net = SparseUNet().to(device)
    costs = take_turns(
        {"ours": net, "peer": net},
        lambda index: tuple(x.to(device) for x in room.cut(index, N_VOXELS)),
        3 * _repeats(quick),
        device_clock,
        {"ours": torch.autocast("cuda", torch.bfloat16)},
    )
    ours, peer = costs["ours"].medians[2], costs["peer"].medians[2]
    yield Row(
        f"MinkUNet34C, {N_VOXELS:,} voxels, bf16 beside float32: forward and backward",
        "s wall",
        ours,
        peer,
        at_least=1.0,
        note=f"{torch.cuda.get_device_name()}; outputs differ by "
        f"{difference(costs['ours'], costs['peer']):.1g} of the largest",
    )


def _rows(what: str, costs: dict[str, Costs], unit: str, at_least: float) -> Iterator[Row]:
    apart = difference(costs["ours"], costs["peer"])
    n = len(costs["ours"].forward)
    for part, target, ours, peer in zip(
        ("forward", "backward", "forward and backward"),
        (None, None, at_least),
        costs["ours"].medians,
        costs["peer"].medians,
        strict=True,
    ):
        yield Row(
            f"{what}: {part}",
            unit,
            ours,
            peer,
            at_least=target,
            is_equal=apart <= EQUAL,
            compilation="no numba",
            note=f"median of {n} turns, one thread; outputs differ by {apart:.1g} of the largest",
        )
