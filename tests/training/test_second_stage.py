"""The second stage: what it takes from its start, and that it learns and resumes."""

import json
import math

import numpy as np
import pytest
import torch

from pipeline.config import SetContrast, Variant
from pipeline.models.loading import CheckpointError, NotPretrainedError
from pipeline.training import pretrain as module
from pipeline.training.checkpoint import Checkpoints, save_tensors
from pipeline.training.contrastive import ContrastiveModel, Outputs
from pipeline.training.methods import make_method
from pipeline.training.pair_losses import PAIR_LOSSES
from pipeline.training.pretrain import pretrain
from pipeline.training.second_stage import Start, go_on_from, read_start
from tests.data.test_pairs import frame_ids
from tests.room import SIZE, pair_batches, small_params, two_stages

CPU = torch.device("cpu")


def networks(losses, seed, linear=False, **model):
    params = small_params(model=model)
    return ContrastiveModel(params.model, Variant(losses=losses, linear=linear), seed)


def start_of(trained, folder, **model):
    return Start(
        folder / "model.safetensors", small_params(model=model).model, trained.state_dict()
    )


def prefixed(module, name):
    return {k: v for k, v in module.state_dict().items() if k.startswith(f"{name}.")}


@pytest.mark.parametrize(
    ("first", "second", "drawn"),
    [
        (["view", "geo"], ["set"], ()),
        (["view", "geo"], ["view", "geo"], ()),
        (["view", "geo", "depth"], ["view"], ()),
        (["view"], ["view", "depth"], ("head_depth",)),
        (["depth"], ["set"], ()),
        ([], ["set"], ("head_view",)),
    ],
)
def test_parts_of_both_are_the_starts_and_others_drawn(tmp_path, first, second, drawn):
    trained, fresh = networks(first, seed=1), networks(second, seed=2)
    before = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
    assert go_on_from(fresh, start_of(trained, tmp_path)) == drawn
    of_start = trained.state_dict()
    for name, tensor in fresh.state_dict().items():
        expected = before if name.partition(".")[0] in drawn else of_start
        assert torch.equal(tensor, expected[name]), name


def test_linear_layers_come_along(tmp_path):
    for layers in ("one", "two"):
        trained, fresh = (networks(["geo"], s, linear=True, linear_layers=layers) for s in (1, 2))
        assert go_on_from(fresh, start_of(trained, tmp_path, linear_layers=layers)) == ()
        assert torch.equal(fresh.lin2d.weight, trained.lin2d.weight)


def test_geo_needs_the_starts_3d_network(tmp_path):
    start = start_of(networks(["view"], 1), tmp_path)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: has no 3D network for GEO"):
        go_on_from(networks(["view", "geo"], 2), start)
    start = start_of(networks(["geo"], 1, linear=True), tmp_path)
    with pytest.raises(CheckpointError) as error:
        go_on_from(networks(["geo"], 2), start)
    assert "model.safetensors: sparse: does not fit this SparseUNet" in str(error.value)
    assert "`linear` of the variant must be as in the start" in str(error.value)


def test_sizes_are_the_starts(tmp_path):
    """Whatever the params say now, an encoder of its own included."""
    model = small_params(model={"width": 0.25}).model
    trained = ContrastiveModel(
        model.model_copy(update={"encoder": "resnet50"}), Variant(losses=[]), 0
    )
    metadata = {"params": {"model": model.model_dump()}, **trained.settings()}
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    save_tensors(tmp_path / "model.safetensors", trained.state_dict())
    start = read_start(tmp_path)
    assert (start.model.encoder, start.model.width) == ("resnet50", 0.25)
    go_on_from(ContrastiveModel(start.model, Variant(losses=["set"]), 0), start)


def test_backend_is_that_of_the_params(tmp_path):
    """A start that was trained with MinkowskiEngine goes on where there is none."""
    trained = networks(["geo"], seed=1)
    minkowski = start_of(trained, tmp_path, sparse_backend="minkowski")
    networks_now = make_method(two_stages(["geo"], ["geo"]), "geo_then_geo", 0, minkowski).networks
    assert networks_now.sparse.settings["backend"] == "torch"


def test_an_unusable_start_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"metadata\.json: No such file.*was it pretrained"):
        read_start(tmp_path)
    model = small_params().model
    metadata = {"params": {"model": model.model_dump()}, **networks([], 0).settings()}
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(CheckpointError, match=r"model\.safetensors: no such .*`dvc checkout "):
        read_start(tmp_path)
    save_tensors(tmp_path / "model.safetensors", networks([], 0).state_dict())
    (tmp_path / "metadata.json").write_text('{"model": {}}')
    with pytest.raises(CheckpointError, match=r"metadata\.json: does not say how large"):
        read_start(tmp_path)
    (tmp_path / "metadata.json").write_text('{"skipped": "no checkpoint given"}')
    with pytest.raises(NotPretrainedError, match="no checkpoint given"):
        read_start(tmp_path)


def equation_3(batches, batch, maps, source, temperature):
    """The loss by loops over the pixels of the sets, at full resolution; negatives of the pair."""
    maps = maps.double().numpy()
    losses = []
    for i, name in enumerate(batch.names):
        scene = batches.scenes[name.partition(":")[0]]
        means = []
        for view, frame_id in enumerate(frame_ids(name)):
            found = {}
            of_map = maps[view * len(batch.names) + i]
            for pixel, set_id in zip(*scene.set_pixels(frame_id, source), strict=True):
                feature = of_map[:, pixel // SIZE[1] // 2, pixel % SIZE[1] // 2]
                found.setdefault(int(set_id), []).append(feature / np.linalg.norm(feature))
            means.append({set_id: np.mean(features, axis=0) for set_id, features in found.items()})
        common = means[0].keys() & means[1].keys()
        for m, n in ((0, 1), (1, 0)):
            for set_id in common:
                e = {k: math.exp(means[m][set_id] @ means[n][k] / temperature) for k in common}
                losses.append(-math.log(e[set_id] / sum(e.values())))
    return np.mean(losses)


@pytest.mark.parametrize("source", [0.01, 0.05])
def test_loss_of_a_batch_is_equation_3_of_its_frames(artifacts, source):
    params = small_params(pretraining={"batch_pairs": 3})
    variant = Variant(losses=["set"], sets=SetContrast(source=source))
    batches = pair_batches(artifacts, params, sets=variant.sets)
    batch = batches[0]
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(6, 5, SIZE[0] // 2, SIZE[1] // 2, generator=generator)
    # Smooth, so that sets differ.
    maps = torch.nn.functional.avg_pool2d(maps, 9, 1, 4)
    outputs = Outputs(maps.contiguous(memory_format=torch.channels_last), None, None, None)
    contrast = params.pretraining.contrast
    loss = PAIR_LOSSES["set"](networks(["set"], 0), outputs, batch, contrast, variant)
    expected = equation_3(batches, batch, maps, f"{source:g}", 0.4)
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def second_stage(artifacts, folder, variant="set", steps=None):
    params = two_stages(["view_geo"], [variant])
    if steps:
        changed = params.second_stage.model_copy(update={"steps": steps, "learning_rate": 0.1})
        params = params.model_copy(update={"second_stage": changed})
    row = f"view_geo_then_{variant}"
    section = params.for_row(row).pretraining
    batches = pair_batches(
        artifacts,
        params.model_copy(update={"pretraining": section}),
        sets=params.variant(row).sets,
        is_second_stage=True,
    )
    start = start_of(networks(["view", "geo"], seed=5), folder)
    return pretrain(params, row, 0, batches, CPU, Checkpoints(folder), start=start)


@pytest.mark.parametrize("variant", ["set", "set_asymmetric", "view", "geo", "view_geo"])
def test_it_learns(artifacts, tmp_path, variant):
    history = second_stage(artifacts, tmp_path, variant, steps=25).history
    first, last = (sum(entry["loss"] for entry in part) / 5 for part in (history[:5], history[-5:]))
    assert last < first - 0.05


def test_it_has_its_own_schedule_and_goes_on_from_the_start(artifacts, tmp_path):
    result = second_stage(artifacts, tmp_path)
    assert (result.steps, result.drawn) == (3, ())
    start = networks(["view", "geo"], seed=5).unet
    moved = (result.model.unet.encoder.conv1.weight - start.encoder.conv1.weight).abs().max()
    assert 0 < moved < 0.1
    assert result.model.sparse is None


def test_resumed_run_ends_with_the_same_weights(artifacts, tmp_path, monkeypatch):
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole = second_stage(artifacts, tmp_path / "whole", steps=6)
    original, calls = module.batch_loss, []

    def killed(*args):
        calls.append(1)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(module, "batch_loss", killed)
    with pytest.raises(KeyboardInterrupt):
        second_stage(artifacts, tmp_path / "killed", steps=6)
    monkeypatch.setattr(module, "batch_loss", original)
    resumed = second_stage(artifacts, tmp_path / "killed", steps=6)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    assert whole.history == resumed.history
