"""The peer's step and ours have the same loss for the same matches, and the same gradients."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks.geometry.peer_loader import PeerView
from benchmarks.training import peer, step_rows, steps
from benchmarks.training.__main__ import main
from pipeline.data.pairs import PairBatch
from tests.room import POSES, SIZE, K, render, small_params

N, CHANNELS = 40, 8


def view(frame_id: int) -> PeerView:
    depth, points = render(POSES[frame_id])
    cells = np.unique((points.reshape(-1, 3) * 50).astype(np.int64), axis=0)
    return PeerView(
        image=torch.zeros(3, *SIZE),
        depth=torch.from_numpy(depth).float(),
        K=torch.from_numpy(K).float(),
        pose=torch.from_numpy(POSES[frame_id]).float(),
        coords=torch.from_numpy(cells),
        features=torch.rand(len(cells), 3),
    )


@pytest.fixture(scope="module")
def samples() -> list[peer.Sample]:
    return [peer.Sample(view(0), view(3)), peer.Sample(view(5), view(8))]


def as_batch(samples: list[peer.Sample], matches: list[peer.Matches]) -> PairBatch:
    """The peer's matches as our batch; every view has a chunk of its own, as the peer's have."""
    views = [each for sample in samples for each in sample.views]
    starts = np.cumsum([0, *(len(each.coords) for each in views)])
    a_then_b = [0, 2, 1, 3]
    voxels = [found for match in matches for found in match[1:]]
    rows = [found[:, 0] + int(start) for found, start in zip(voxels, starts, strict=False)]
    numbered = [torch.nn.functional.pad(v.coords, (1, 0), value=i) for i, v in enumerate(views)]
    return PairBatch(
        names=("a", "b"),
        n_redrawn=0,
        images=torch.zeros(4, 3, *SIZE),
        pixel_a=torch.stack([match[0][:, 0] for match in matches]),
        pixel_b=torch.stack([match[0][:, 1] for match in matches]),
        voxel_pixel=torch.stack([voxels[i][:, 1] for i in a_then_b]),
        voxel_row=torch.stack([rows[i] for i in a_then_b]),
        coords=torch.cat(numbered).int(),
        features=torch.cat([each.features for each in views]),
        depth=torch.zeros(4, 0, 0),
    )


def test_losses_and_gradients_are_equal(samples):
    torch.manual_seed(0)
    matches = [peer.match(sample, N) for sample in samples]
    batch = as_batch(samples, matches)
    params = small_params(pretraining={"contrast": {"temperature": peer.TEMPERATURE}})
    layout = torch.contiguous_format
    stand_ins = steps.StandIns.random(2, CHANNELS, SIZE, len(batch.coords), layout)
    ours = steps.our_gradients(params, steps.networks(params), stand_ins, batch)
    theirs = steps.their_gradients(stand_ins, samples, matches)
    assert ours[0] == pytest.approx(theirs[0], rel=1e-5)
    for one, other in zip(ours[1:], theirs[1:], strict=True):
        assert one.abs().max() > 0
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


def test_matches_are_one_place(samples):
    """VIEW within the tolerance along z; GEO's voxels within theirs of the pixel's depth."""
    a, b = samples[0].views
    torch.manual_seed(0)
    pixels, *voxels = peer.match(samples[0], 200)
    points = [torch.from_numpy(render(POSES[i])[1].reshape(-1, 3)) for i in (0, 3)]
    distance = (points[0][pixels[:, 0]] - points[1][pixels[:, 1]]).norm(dim=1)
    assert distance.median() < 0.1
    for found, each, place in zip(voxels, (a, b), points, strict=True):
        near = (each.coords[found[:, 0]] / 50 - place[found[:, 1]]).norm(dim=1)
        assert near.median() < 0.1


def test_gather_takes_the_half_resolution_cell():
    cells = torch.arange(3 * 4.0).reshape(1, 3, 4)
    pixel = torch.arange(6 * 8)
    expected = [(p // 8 // 2) * 4 + p % 8 // 2 for p in pixel.tolist()]
    assert peer.features_at(cells, pixel, 8)[:, 0].tolist() == expected


def test_whole_steps_run_and_learn(samples):
    """Both on the CPU, with the same small networks."""
    torch.manual_seed(0)
    batch = as_batch(samples, [peer.match(sample, N) for sample in samples])
    params, device = small_params(), torch.device("cpu")
    made = SimpleNamespace(
        params=params,
        n=1,
        load=lambda number: batch,
        load_as_peer=lambda number: samples,
    )
    rows = list(step_rows.whole_step_rows(made, "cpu"))
    assert [row.what for row in rows] == ["whole step on cpu, float32", "whole step on cpu, bf16"]
    model = steps.networks(params)
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    found = [steps.our_step(params, model, optimizer, batch, device) for _ in range(6)]
    assert found[-1] < found[0]
    model = steps.networks(params)
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    found = [steps.their_step(model, optimizer, samples, device, N) for _ in range(6)]
    assert found[-1] < found[0]


@pytest.mark.long
def test_all_rows_of_the_sequences(sequences: Path, tmp_path: Path, monkeypatch, capsys):
    options = ["--raw", str(sequences), "--quick", "--folder", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["training", *options])
    main()
    out = capsys.readouterr().out
    assert out.count("step without its networks") == 4
    assert "skipped" not in out or "torch finds none" in out
