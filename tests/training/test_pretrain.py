"""Pretraining on the analytic rooms: it learns, resumes exactly, and starts equal for a seed."""

import pytest
import torch

from pipeline.config import Params, Variant
from pipeline.losses.depth_proxy import depth_proxy
from pipeline.losses.info_nce import point_info_nce
from pipeline.training import pretrain as module
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.contrastive import ContrastiveModel, gather_pixels
from pipeline.training.methods import make_method
from pipeline.training.optimisation import TrainingError
from pipeline.training.pretrain import batch_loss, pretrain
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


@pytest.mark.parametrize("variant", ["view", "geo", "depth", "view_geo_lin"])
def test_loss_goes_down(artifacts, tmp_path, variant):
    params = small_params(pretraining={"steps": 25})
    history = run(artifacts, tmp_path, variant, params=params).history
    assert len(history) == 25
    first, last = (sum(entry["loss"] for entry in part) / 5 for part in (history[:5], history[-5:]))
    losses = params.variants[variant].losses
    assert set(history[0]) == {"step", "loss", *losses}
    assert last < first - 0.2 * len(losses)


@pytest.mark.parametrize(
    ("variant", "changes"),
    [
        ("depth", {}),
        ("geo_lin", {"model": {"linear_layers": "two"}}),
        ("view_geo_d", {"pretraining": {"augmentation": {"colour": True}}}),
        ("view_geo_lin", {"pretraining": {"contrast": {"n_matches": 32, "negatives": "batch"}}}),
        ("view_geo", {"pretraining": {"accumulation": 2}}),
        ("view", {"geometry": {"matching": {"mode": "pri3d", "radius_m": 0.05}}}),
        ("view_geo_d", {"pretraining": {"compute": {"precision": "bf16"}}}),
    ],
)
def test_resumed_run_ends_with_the_same_weights(artifacts, tmp_path, monkeypatch, variant, changes):
    params = small_params(**changes)
    parts = params.pretraining.accumulation
    whole = run(artifacts, tmp_path / "whole", variant, params=params)
    original, calls = module.batch_loss, []

    def killed(*args):
        calls.append(1)
        if len(calls) > 5 * parts:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(module, "batch_loss", killed)
    with pytest.raises(KeyboardInterrupt):
        run(artifacts, tmp_path / "killed", variant, params=params)
    monkeypatch.setattr(module, "batch_loss", original)
    resumed = run(artifacts, tmp_path / "killed", variant, params=params)
    assert len(calls) == 5 * parts + 1  # steps 0..4, of which 0..2 are in the checkpoint
    assert_equal(whole.model, resumed.model)
    assert whole.history == resumed.history
    assert whole.n_redrawn == resumed.n_redrawn


def test_bf16_trains_as_float32_does(artifacts, tmp_path):
    """One step differs by the rounding of 8 bits; six steps away from chance stay as near."""
    histories = {}
    for precision in ("float32", "bf16"):
        params = small_params(pretraining={"compute": {"precision": precision}})
        method = make_method(params, "view_geo_d", 0)
        assert batch_loss(method, pair_batches(artifacts, params)[0]).total.dtype == torch.float32
        found = run(artifacts, tmp_path / precision, "view_geo_d", params=params)
        histories[precision] = torch.tensor([entry["loss"] for entry in found.history])
        assert {tensor.dtype for tensor in found.model.parameters()} == {torch.float32}
    exact, rounded = histories["float32"], histories["bf16"]
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(rounded[:1], exact[:1], rtol=0.01, atol=0)
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0)


def test_a_finished_run_is_not_trained_again(artifacts, tmp_path, monkeypatch):
    first = run(artifacts, tmp_path)
    monkeypatch.setattr(module, "batch_loss", None)
    assert_equal(first.model, run(artifacts, tmp_path).model)


def test_variants_of_a_seed_start_equal(artifacts):
    params = small_params()
    models = {
        name: ContrastiveModel(params.model, variant, seed=3)
        for name, variant in params.variants.items()
    }
    for model in models.values():
        assert_equal(models["none"].unet, model.unet)
        if model.head_view is not None:
            assert_equal(models["view"].head_view, model.head_view)
    assert models["none"].head_view is None
    assert_equal(models["geo"].sparse, models["view_geo_d"].sparse)
    other = ContrastiveModel(params.model, params.variants["none"], seed=4).unet
    assert not torch.equal(other.encoder.conv1.weight, models["none"].unet.encoder.conv1.weight)
    assert models["view"].sparse is None
    assert models["geo"].lin2d is None


def test_no_losses_keeps_the_initial_weights(artifacts, tmp_path):
    result = run(artifacts, tmp_path, "none")
    assert result.steps == 0
    initial = ContrastiveModel(small_params().model, Variant(losses=[]), seed=0)
    assert_equal(initial, result.model)
    assert {name.partition(".")[0] for name in result.model.state_dict()} == {"unet"}
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
        found = make_method(params, variant, seed=0).networks.unet.encoder.state_dict()
        assert all(torch.equal(found[key], tensor) for key, tensor in expected.items())


def test_a_variant_may_have_values_of_its_own():
    own = {"losses": ["view"], "encoder": "resnet50", "learning_rate": 0.01}
    params = small_params(variants={"own": own})
    method = make_method(params, "own", seed=0)
    assert method.networks.settings()["model"]["encoder"] == "resnet50"
    assert method.rate(0, 10) == method.make_optimizer().defaults["lr"] == 0.01
    assert make_method(params, "view", seed=0).rate(0, 10) == 0.1


def test_from_scratch_beside_a_model_that_starts_from_a_checkpoint(tmp_path):
    encoder = ContrastiveModel(small_params().model, Variant(losses=[]), seed=5).unet.encoder
    torch.save(encoder.state_dict(), tmp_path / "own.pth")
    content = small_params().model_dump()
    content["model"] |= {"init": "checkpoint", "init_checkpoint": str(tmp_path / "own.pth")}
    content["variants"]["none"]["init"] = "random"
    params = Params.model_validate(content)
    drawn = ContrastiveModel(params.model, params.variants["none"], seed=0)
    assert_equal(make_method(params, "none", seed=0).networks, drawn)
    assert_equal(make_method(params, "imagenet", seed=0).networks.unet.encoder, encoder)


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
    assert make_method(params, "view", 0).steps(len(batches)) == 10
    params = small_params(pretraining={"steps": 3, "accumulation": 2})
    assert run(artifacts, tmp_path, "view", params=params).steps == 3


def test_geo_without_linear_layers_shares_the_view_embedding(artifacts):
    params = small_params()
    batch = pair_batches(artifacts, params)[0]
    method = make_method(params, "view_geo", seed=0)
    loss = batch_loss(method, batch)
    assert loss.total.item() == pytest.approx(loss.parts["view"] + loss.parts["geo"], rel=1e-5)
    chance = torch.log(torch.tensor(64.0))
    assert abs(loss.parts["geo"] - chance) < 1.5
    loss.total.backward()
    assert all(p.grad is not None for p in method.networks.parameters())


@pytest.mark.parametrize(
    ("layers", "width_3d", "lin3d"),
    [
        ("one", 6, None),  # paper 000: the 3D output is linear_dim wide and stays as it is
        ("two", 10, (10, 6)),  # Pri3D's code: that of the last stage, projected too
    ],
)
def test_linear_layers(artifacts, layers, width_3d, lin3d):
    model = {"linear_layers": layers, "sparse_planes": [8, 8, 8, 10], "linear_dim": 6}
    params = small_params(model=model)
    method = make_method(params, "geo_lin", seed=0)
    networks = method.networks
    assert (networks.lin2d.in_features, networks.lin2d.out_features) == (8, 6)
    assert networks.sparse.settings["out_channels"] == width_3d
    found = networks.lin3d and (networks.lin3d.in_features, networks.lin3d.out_features)
    assert found == lin3d
    batch = pair_batches(artifacts, params)[0]
    loss = batch_loss(method, batch)
    loss.total.backward()
    assert all(p.grad.abs().sum() > 0 for name, p in networks.named_parameters() if "lin" in name)
    # GEO sees the layers: what it compares is what they make.
    outputs = networks(batch)
    pixels = networks.lin2d(gather_pixels(outputs.maps, batch.voxel_pixel, batch.images.shape[-1]))
    voxels = outputs.voxels[batch.voxel_row]
    voxels = voxels if networks.lin3d is None else networks.lin3d(voxels)
    expected = point_info_nce(pixels, voxels, 0.4)
    assert method.losses(outputs, batch)["geo"] == expected


def test_view_does_not_see_the_linear_layers(artifacts):
    params = small_params()
    batch = pair_batches(artifacts, params)[0]
    losses = {}
    for variant in ("view_geo", "view_geo_lin"):
        losses[variant] = batch_loss(make_method(params, variant, seed=0), batch).parts
    assert losses["view_geo"]["view"] == losses["view_geo_lin"]["view"]
    assert losses["view_geo"]["geo"] != losses["view_geo_lin"]["geo"]


def test_negatives_of_the_batch(artifacts):
    """The option reaches the loss: more negatives, a larger loss, of VIEW and of GEO."""
    batch = pair_batches(artifacts, small_params())[0]
    found = {}
    for negatives in ("pair", "batch"):
        contrast = {"n_matches": 64, "negatives": negatives}
        params = small_params(pretraining={"contrast": contrast})
        found[negatives] = batch_loss(make_method(params, "view_geo", 0), batch).parts
    method = make_method(small_params(), "view", 0)
    maps_a, maps_b = method.networks(batch).maps.chunk(2)
    pixels = gather_pixels(maps_a, batch.pixel_a, 64), gather_pixels(maps_b, batch.pixel_b, 64)
    for negatives, parts in found.items():
        assert parts["view"] == point_info_nce(*pixels, 0.4, negatives=negatives).item()
    assert all(found["batch"][name] > found["pair"][name] for name in ("view", "geo"))


def test_depth_proxy_is_the_mean_of_both_views_times_its_weight(artifacts):
    depth = {"alpha_m": 0.2, "combine": "sum", "weight": 3.0}
    params = small_params(variants={"depth": {"losses": ["depth"], "depth": depth}})
    batch = pair_batches(artifacts, params)[0]
    method = make_method(params, "depth", seed=0)
    # As in Pri3D's code: from the embedding, behind the 1x1 convolution that is discarded later.
    embedding = method.networks.head_view(method.networks.unet(batch.images))
    predicted = torch.nn.functional.interpolate(
        method.networks.head_depth(embedding),
        batch.depth.shape[-2:],
        mode="bilinear",
        align_corners=True,
    )[:, 0]
    a, b = (depth_proxy(predicted[i : i + 2], batch.depth[i : i + 2], 0.2, "sum") for i in (0, 2))
    assert batch_loss(method, batch).parts["depth"] == pytest.approx(1.5 * (a + b).item())
    assert set(dict(method.networks.named_children())) == {"unet", "head_view", "head_depth"}


def test_diverging_run_names_the_pairs(artifacts, tmp_path):
    params = small_params(pretraining={"learning_rate": 1e30})
    with pytest.raises(TrainingError, match=r"the loss is .*room_.: \d-\d"):
        run(artifacts, tmp_path, "view", params=params)
