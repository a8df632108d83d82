"""Pretraining on the analytic rooms: it learns, resumes exactly, and starts equal for a seed."""

import pytest
import torch

from pipeline.config import Contrast, Params, Variant
from pipeline.training import pretrain as module
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.contrastive import ContrastiveModel, contrastive_loss, gather_pixels
from pipeline.training.optimisation import TrainingError
from pipeline.training.pretrain import initial_model, pretrain, pretraining_steps
from tests.room import pair_batches, small_params

CPU = torch.device("cpu")


def run(artifacts, folder, variant="view_geo_lin", seed=0, params=None):
    params = params or small_params()
    batches = pair_batches(artifacts, params, seed)
    return pretrain(params, variant, seed, batches, CPU, Checkpoints(folder))


def assert_equal(a, b):
    for name, tensor in a.state_dict().items():
        assert torch.equal(tensor, b.state_dict()[name]), name


def test_gather_takes_the_half_resolution_cell():
    maps = torch.arange(2 * 1 * 3 * 4).float().reshape(2, 1, 3, 4)
    v, u = torch.tensor([[0, 5], [3, 4]]), torch.tensor([[7, 2], [1, 6]])
    gathered = gather_pixels(maps, v * 8 + u, 8)
    expected = [[maps[i, :, v[i, j] // 2, u[i, j] // 2] for j in range(2)] for i in range(2)]
    assert torch.equal(gathered, torch.stack([torch.stack(row) for row in expected]))


@pytest.mark.parametrize("variant", ["view", "geo", "view_geo_lin"])
def test_loss_goes_down(artifacts, tmp_path, variant):
    params = small_params(pretraining={"steps": 25})
    history = run(artifacts, tmp_path, variant, params=params).history
    assert len(history) == 25
    first, last = (sum(entry["loss"] for entry in part) / 5 for part in (history[:5], history[-5:]))
    losses = params.variants[variant].losses
    assert set(history[0]) == {"step", "loss", *losses}
    assert last < first - 0.2 * len(losses)


def test_resumed_run_ends_with_the_same_weights(artifacts, tmp_path, monkeypatch):
    whole = run(artifacts, tmp_path / "whole")
    original, calls = module.contrastive_loss, []

    def killed(*args):
        calls.append(1)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(module, "contrastive_loss", killed)
    with pytest.raises(KeyboardInterrupt):
        run(artifacts, tmp_path / "killed")
    monkeypatch.setattr(module, "contrastive_loss", original)
    resumed = run(artifacts, tmp_path / "killed")
    assert len(calls) == 6  # steps 0..4, of which 0..2 are in the checkpoint
    assert_equal(whole.model, resumed.model)
    assert whole.history == resumed.history
    assert whole.n_redrawn == resumed.n_redrawn


def test_a_finished_run_is_not_trained_again(artifacts, tmp_path, monkeypatch):
    first = run(artifacts, tmp_path)
    monkeypatch.setattr(module, "contrastive_loss", None)
    assert_equal(first.model, run(artifacts, tmp_path).model)


def test_variants_of_a_seed_start_equal(artifacts):
    params = small_params()
    models = {
        name: ContrastiveModel(params.model, variant, seed=3)
        for name, variant in params.variants.items()
    }
    for model in models.values():
        assert_equal(models["none"].unet, model.unet)
        assert_equal(models["none"].head_view, model.head_view)
    other = ContrastiveModel(params.model, params.variants["none"], seed=4).unet
    assert not torch.equal(other.encoder.conv1.weight, models["none"].unet.encoder.conv1.weight)
    assert models["view"].sparse is None
    assert models["geo"].lin2d is None
    assert models["view_geo_lin"].lin3d.out_features == params.model.linear_dim


def test_no_losses_keeps_the_initial_weights(artifacts, tmp_path):
    result = run(artifacts, tmp_path, "none")
    assert result.steps == 0
    initial = ContrastiveModel(small_params().model, Variant(losses=[]), seed=0)
    assert_equal(initial, result.model)
    assert not list(tmp_path.iterdir())


def test_a_variant_may_start_from_a_file_of_its_own(tmp_path):
    content = small_params().model_dump()
    for seed, name in ((5, "models"), (6, "its_own")):
        encoder = ContrastiveModel(small_params().model, Variant(losses=[]), seed).unet.encoder
        torch.save(encoder.state_dict(), tmp_path / f"{name}.pth")
    content["model"] |= {"init": "checkpoint", "init_checkpoint": str(tmp_path / "models.pth")}
    content["variants"]["geo"]["init_checkpoint"] = str(tmp_path / "its_own.pth")
    params = Params.model_validate(content)
    for variant, name in (("view", "models"), ("geo", "its_own")):
        expected = torch.load(tmp_path / f"{name}.pth", weights_only=True)
        found = initial_model(params, variant, seed=0).unet.encoder.state_dict()
        assert all(torch.equal(found[key], tensor) for key, tensor in expected.items())


def test_embedding_is_as_wide_as_the_features_unless_stated():
    """Pri3D: 128 with ResNet50, 32 with ResNet18 (spec C.1)."""
    model = small_params(model={"embedding_dim": None, "feature_channels": None}).model
    networks = ContrastiveModel(model, Variant(losses=["geo"]), seed=0)
    assert networks.head_view.out_channels == networks.unet.feature_channels == 4
    assert networks.sparse.final.weight.shape[-1] == 4


def test_accumulation_counts_steps_not_parts(artifacts, tmp_path):
    params = small_params(pretraining={"steps": None, "epochs": 2, "accumulation": 2})
    batches = pair_batches(artifacts, params)
    assert len(batches) == 10  # ten pairs, one in each part
    assert pretraining_steps(params, batches) == 10
    params = small_params(pretraining={"steps": 3, "accumulation": 2})
    assert run(artifacts, tmp_path, "view", params=params).steps == 3


def test_geo_without_linear_layers_shares_the_view_embedding(artifacts):
    params = small_params()
    batch = pair_batches(artifacts, params)[0]
    model = ContrastiveModel(params.model, Variant(losses=["view", "geo"]), seed=0)
    loss = contrastive_loss(model, Variant(losses=["view", "geo"]), Contrast(n_matches=64), batch)
    assert loss.total.item() == pytest.approx(loss.parts["view"] + loss.parts["geo"], rel=1e-5)
    chance = torch.log(torch.tensor(64.0))
    assert abs(loss.parts["geo"] - chance) < 1.5
    loss.total.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_diverging_run_names_the_pairs(artifacts, tmp_path):
    params = small_params(pretraining={"learning_rate": 1e30})
    with pytest.raises(TrainingError, match=r"the loss is .*room_.: \d-\d"):
        run(artifacts, tmp_path, "view", params=params)
