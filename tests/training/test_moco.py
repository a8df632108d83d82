"""MoCo: queue, momentum and shuffling against the algorithm written out; resuming; parts."""

import copy

import pytest
import torch
from torch.nn.functional import normalize

from pipeline.config import Moco, Params
from pipeline.models.resnet import ResNet
from pipeline.training import pretrain as module
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.contrastive import ContrastiveModel
from pipeline.training.distributed import ALONE, Processes
from pipeline.training.methods import make_method
from pipeline.training.moco import MocoNetworks
from pipeline.training.optimisation import TrainingError, seed_torch
from pipeline.training.pretrain import batch_loss, pretrain
from tests.room import MOCO, frame_batches, moco_params, small_params

CPU = torch.device("cpu")


def run(artifacts, folder, params=None):
    params = params or small_params()
    batches = frame_batches(artifacts, params)
    return pretrain(params, "moco", 0, batches, CPU, Checkpoints(folder))


def small_networks(seed=0, **changes) -> MocoNetworks:
    moco = Moco(**{**MOCO, "batch_images": 2, **changes})
    return MocoNetworks(small_params().model, moco, seed).train()


def assert_equal(a, b):
    for name, tensor in a.items():
        assert torch.equal(tensor, b[name]), name


def test_training_follows_algorithm_1(artifacts, tmp_path):
    """He et al. 2020, Algorithm 1, in its own order: the momentum update comes first there.

    Only three steps, since statistics of few values magnify what is rounded otherwise.
    """
    params = moco_params({"momentum": 0.9}, steps=3, queue=16)
    moco = params.variants["moco"].moco
    batches, steps = frame_batches(artifacts, params), 3
    networks = MocoNetworks(params.model, moco, 0).to(memory_format=torch.channels_last)
    f_q = torch.nn.ModuleList([networks.unet.encoder, networks.head_moco])
    f_k = copy.deepcopy(f_q)
    queue = []
    optimizer = torch.optim.SGD(f_q.parameters(), lr=moco.learning_rate, momentum=0.9,
                                weight_decay=moco.weight_decay)  # fmt: skip

    def embed(f, images):
        groups = [f[0](images[i : i + 4])[-1].mean(dim=(2, 3)) for i in range(0, 8, 4)]
        return normalize(f[1](torch.cat(groups)), dim=1)

    losses = []
    for step in range(steps):
        x_q, x_k = batches[step].images.chunk(2)
        if step:
            with torch.no_grad():
                for k, q in zip(f_k.parameters(), f_q.parameters(), strict=True):
                    k.copy_(moco.momentum * k + (1 - moco.momentum) * q)
        q = embed(f_q, x_q)
        with torch.no_grad():
            seed_torch(0, step)
            order = torch.randperm(8)
            k = embed(f_k, x_k[order])[torch.argsort(order)]
        negatives = torch.stack(queue) if queue else torch.empty(0, 8)
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ negatives.T], dim=1)
        logits = logits / moco.temperature
        loss = torch.nn.functional.cross_entropy(logits, torch.zeros(8, dtype=torch.long))
        losses.append(loss.item())
        optimizer.param_groups[0]["lr"] = (
            moco.learning_rate * (1 + torch.cos(torch.tensor(torch.pi * step / steps)).item()) / 2
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        queue = [*queue, *k][-moco.queue :]

    result = run(artifacts, tmp_path, params)
    assert [entry["moco"] for entry in result.history] == pytest.approx(losses, abs=1e-4)
    assert result.model.n_queued == steps * 8 > moco.queue
    # The third step's keys stand in the first rows.
    expected = torch.stack([*queue[8:], *queue[:8]])
    torch.testing.assert_close(result.model.queue, expected, atol=1e-3, rtol=1e-3)
    expected = f_q[0].state_dict()
    for name, tensor in result.model.unet.encoder.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], atol=1e-3, rtol=1e-3, msg=name)


def test_the_queue_is_first_in_first_out():
    networks = small_networks(queue=5, dim=2)
    assert len(networks.negatives) == 0
    contents = []
    for step in range(1, 4):
        networks._new_keys.append(torch.full((2, 2), float(step)))
        networks.end_step(ALONE)
        contents.append(networks.negatives[:, 0].tolist())
    # Six keys in five places: the last one stands where the first one stood.
    assert contents == [[1, 1], [1, 1, 2, 2], [3, 1, 2, 2, 3]]


def test_keys_of_all_parts_of_all_processes_are_queued_in_their_order():
    """Process 1 of 2 has the parts 1 and 3; what it sends beside process 0's is summed."""

    class Second(Processes):
        def total(self, values):
            return [2.0 * value for value in values]

        def sum_tensor(self, tensor):
            for part in (0, 2):
                assert not tensor[part].any()
                tensor[part] += 10 * part + 1

    networks = small_networks(queue=8, dim=2)
    networks._new_keys += [torch.full((2, 2), 11.0), torch.full((2, 2), 31.0)]
    networks.end_step(Second(rank=1, size=2))
    assert networks.queue[:, 0].tolist() == [1, 1, 11, 11, 21, 21, 31, 31]


def test_key_encoder_follows_and_has_no_gradient(artifacts):
    method = make_method(small_params(), "moco", 0)
    networks = method.networks
    assert_equal(networks.unet.encoder.state_dict(), networks.key_encoder.state_dict())
    batches = frame_batches(artifacts, small_params())
    networks(batches[0])
    networks.end_step(ALONE)
    batch_loss(method, batches[1]).total.backward()
    assert all(p.grad is None for p in networks.key_encoder.parameters())
    assert all(p.grad.abs().sum() > 0 for p in networks.head_moco.parameters())
    assert all(p.grad is None for p in networks.unet.decoder.parameters())
    before = networks.key_encoder.conv1.weight.clone()
    with torch.no_grad():
        networks.unet.encoder.conv1.weight += 1
    networks.end_step(ALONE)
    torch.testing.assert_close(networks.key_encoder.conv1.weight, before + 0.1)


def test_shuffling_hides_which_images_share_statistics(artifacts):
    """An image's key depends on the rest of its group; in eval mode on nothing but itself."""
    networks = small_networks()
    batch = frame_batches(artifacts, small_params())[0]

    def keys(seed):
        torch.manual_seed(seed)
        return networks(batch).keys

    assert torch.equal(keys(0), keys(0))
    assert not torch.allclose(keys(0), keys(1), atol=1e-3)
    networks.eval()
    torch.testing.assert_close(keys(0), keys(1))
    expected = networks.key_encoder(batch.images[8:])[-1].mean(dim=(2, 3))
    torch.testing.assert_close(keys(0), normalize(networks.key_head(expected), dim=1))


def test_queries_learn_to_find_their_keys(artifacts):
    """With the keys and the queue of other views of the frames held still."""
    method = make_method(small_params(), "moco", 0)
    batches = frame_batches(artifacts, small_params())
    for number in range(1, 4):
        method.networks(batches[number])
        method.networks.end_step(ALONE)
    optimizer, losses = method.make_optimizer(), []
    for _ in range(15):
        torch.manual_seed(0)
        loss = batch_loss(method, batches[0])
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        losses.append(loss.parts["moco"])
    assert losses[-1] < losses[0] - 0.5


def test_resumed_run_ends_with_the_same_networks_and_queue(artifacts, tmp_path, monkeypatch):
    whole = run(artifacts, tmp_path / "whole")
    original, calls = module.batch_loss, []

    def killed(*args):
        calls.append(1)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(module, "batch_loss", killed)
        with pytest.raises(KeyboardInterrupt):
            run(artifacts, tmp_path / "killed")
    resumed = run(artifacts, tmp_path / "killed")
    assert len(calls) == 6
    assert_equal(whole.model.state_dict(), resumed.model.state_dict())
    assert whole.history == resumed.history


def test_parts_of_a_step_share_a_queue(artifacts, tmp_path):
    """A step of two parts queues both parts' keys at its end, after both losses."""
    params = moco_params({"accumulation": 2}, bn_images=2, steps=2)
    result = run(artifacts, tmp_path, params)
    assert result.steps == 2
    assert result.model.n_queued == 16
    first = MocoNetworks(params.model, params.variants["moco"].moco, 0).train()
    batches = frame_batches(artifacts, params)
    keys = []
    for part in range(2):
        seed_torch(0, part)
        keys.append(first(batches[part]).keys)
        assert len(keys[-1]) == 4
    torch.testing.assert_close(result.model.queue[:8], torch.cat(keys), atol=1e-3, rtol=0)


def test_result_is_the_unet_with_the_decoder_as_it_was_drawn(artifacts, tmp_path):
    result = run(artifacts, tmp_path)
    kept = result.model.result()
    assert {name.partition(".")[0] for name in kept} == {"unet", "head_moco"}
    params = small_params()
    drawn = ContrastiveModel(params.model, params.variants["none"], seed=0).unet
    trained = result.model.unet
    assert_equal(drawn.decoder.state_dict(), trained.decoder.state_dict())
    assert not torch.equal(drawn.encoder.conv1.weight, trained.encoder.conv1.weight)


def test_both_encoders_start_from_a_checkpoint(tmp_path):
    encoder = ResNet("resnet18", 0.125)
    torch.save(encoder.state_dict(), tmp_path / "own.pth")
    content = small_params().model_dump()
    content["variants"]["moco"]["init_checkpoint"] = str(tmp_path / "own.pth")
    networks = make_method(Params.model_validate(content), "moco", seed=0).networks
    assert_equal(encoder.state_dict(), networks.unet.encoder.state_dict())
    assert_equal(encoder.state_dict(), networks.key_encoder.state_dict())


def test_schedule_is_a_cosine_over_moco_epochs(artifacts):
    params = moco_params(steps=None, epochs=30, batch_images=4, learning_rate=0.5)
    method = make_method(params, "moco", 0)
    assert method.steps(len(frame_batches(artifacts, params))) == 60
    assert [method.rate(step, 60) for step in (0, 30)] == pytest.approx([0.5, 0.25])
    assert method.rate(20, 60) == pytest.approx(0.375)
    (group,) = method.make_optimizer().param_groups
    assert (group["momentum"], group["dampening"], group["weight_decay"]) == (0.9, 0, 0.0001)


def test_diverging_run_names_the_frames(artifacts, tmp_path):
    with pytest.raises(TrainingError, match=r"the loss is .*room_.: \d"):
        run(artifacts, tmp_path, moco_params(learning_rate=1e30))
