"""Finetuning of DeepLabV3, DeepLabV3+ and PSPNet: Pri3D's schedules on a pretrained encoder."""

import typing
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from pipeline.config import Compute, NetworkName, Networks
from pipeline.data.cache import ByteCache
from pipeline.data.labelled import LabelledBatch, load_labelled
from pipeline.models.segmentation import NETWORKS
from pipeline.models.unet import UNet2D
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.finetune import Finetuner
from pipeline.training.interruption import Interrupted, StopRequest
from pipeline.training.network_recipe import PUBLISHED, network_recipe
from pipeline.training.optimisation import Loss, train
from pipeline.training.tasks import segmentation_task

CPU = torch.device("cpu")
CLASSES = ("wall", "floor", "ceiling")
ROWS = {"training": [0, 1, 2, 3], "validation": [0, 1, 2, 3]}


def section(**changes) -> Networks:
    return Networks(**{"width": 16, "steps": 6, "batch_images": 4, **changes})


def make_unet() -> UNet2D:
    torch.manual_seed(0)
    unet = UNet2D("resnet18", 0.125, 8)
    unet(torch.randn(4, 3, 32, 32))  # moves the running statistics off their start
    return unet.eval()


def make(name, unet=None, **changes):
    recipe = network_recipe(name, unet or make_unet(), section(**changes), 2, Compute())
    return recipe, recipe.make_network("full", 3)


def test_every_network_of_params_has_a_schedule():
    assert set(PUBLISHED) == set(NETWORKS) == set(typing.get_args(NetworkName))


@pytest.mark.parametrize("name", NETWORKS)
def test_network_starts_from_the_pretrained_encoder_and_leaves_it_alone(name):
    unet = make_unet()
    before = {key: value.clone() for key, value in unet.state_dict().items()}
    recipe, network = make(name, unet)
    for key, value in network.network.encoder.state_dict().items():
        assert torch.equal(value, before[f"encoder.{key}"]), key
    optimizer = recipe.make_optimizer(network)
    optimizer.param_groups[0]["lr"] = 1.0
    network.loss([torch.randn(2, 3, 48, 64)], (48, 64), lambda p: p.square().mean()).backward()
    optimizer.step()
    assert all(torch.equal(value, before[key]) for key, value in unet.state_dict().items())


@pytest.mark.parametrize(
    ("name", "momentum"), [("deeplabv3", 0.01), ("deeplabv3plus", 0.01), ("pspnet", 0.1)]
)
def test_batch_norm_of_deeplabs_encoder_follows_slowly(name, momentum):
    _, network = make(name)
    found = {}
    for path, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            found.setdefault(path.startswith("network.encoder."), set()).add(module.momentum)
    assert found == {True: {momentum}, False: {0.1}}


@pytest.mark.parametrize(
    ("name", "encoder", "head"),
    [("deeplabv3", 0.001, 0.01), ("deeplabv3plus", 0.001, 0.01), ("pspnet", 0.01, 0.1)],
)
def test_rates_are_those_of_pri3ds_code(name, encoder, head):
    recipe, network = make(name)
    optimizer, steps, seen = recipe.make_optimizer(network), 5, []
    named = {id(p): path for path, p in network.named_parameters()}
    groups = [
        {named[id(p)].startswith("network.encoder.") for p in group["params"]}
        for group in optimizer.param_groups
    ]
    assert groups == [{True}, {False}]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(named)
    for group in optimizer.param_groups:
        assert (group["momentum"], group["dampening"], group["weight_decay"]) == (0.9, 0, 1e-4)
    weight = next(network.parameters())

    def step_losses(step):
        seen.append([group["lr"] for group in optimizer.param_groups])
        return [Loss((weight * 0).sum(), {}, "nothing")]

    train(optimizer, lambda s: recipe.rate(s, steps), 0, steps, step_losses, lambda *_: None)
    for step, (of_encoder, of_head) in enumerate(seen):
        decay = (1 - step / steps) ** 0.9
        assert of_encoder == pytest.approx(encoder * decay)
        assert of_head == pytest.approx(head * decay)


def test_steps_are_those_of_pri3ds_code_unless_params_say():
    for name, expected in (("deeplabv3", 50_000), ("deeplabv3plus", 50_000), ("pspnet", 50 * 6)):
        recipe, _ = make(name, steps=None, batch_images=16)
        assert recipe.steps("full", 100) == expected  # 6 whole batches of 16
        assert make(name, steps=7)[0].steps("full", 100) == 7


def test_pspnets_loss_adds_two_fifths_of_the_auxiliary_one():
    _, network = make("pspnet")
    for module in network.modules():
        if isinstance(module, nn.Dropout2d):
            module.p = 0.0
    images, target = torch.randn(2, 3, 48, 64), torch.randint(0, 3, (2, 48, 64))
    loss = network.loss([images], (48, 64), lambda p: functional.cross_entropy(p, target))
    main, auxiliary = (
        functional.cross_entropy(prediction, target) for prediction in network.network(images)
    )
    torch.testing.assert_close(loss, main + 0.4 * auxiliary)
    network.eval()
    assert torch.equal(network([images], (48, 64)), network.network(images)[0])


def test_only_full_finetuning():
    recipe, _ = make("pspnet")
    with pytest.raises(ValueError, match="pspnet is trained as a whole, not frozen"):
        recipe.make_network("frozen", 3)


def make_finetuner(artifacts, name, **changes):
    splits = load_labelled(artifacts, ["room_a", "room_b"], ["room_b"], {}, ByteCache())
    return Finetuner(make(name, **changes)[0], *splits, 0, CPU)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_learn_the_rooms(artifacts, tmp_path, name):
    finetuner = make_finetuner(artifacts, name, steps=100, learning_rate=0.1)
    run = (ROWS, Checkpoints(tmp_path), StopRequest())
    cell = finetuner.run_cell("full", segmentation_task(CLASSES, CPU), *run)
    assert cell.metrics["steps"] == cell.metrics["last"]["step"] == 100
    assert cell.metrics["best"]["miou"] >= cell.metrics["last"]["miou"]
    assert cell.metrics["best"]["miou"] > 50  # all wall gives 46.8
    assert set(cell.metrics["last"]["per_class"]) == {"wall", "floor"}  # no frame shows a ceiling
    assert {key.split(".")[1] for key in cell.weights} >= {"encoder", "head"}


def test_a_stopped_training_goes_on_with_the_same_draws(artifacts, tmp_path):
    """Blur, flip, dropout: all drawn anew from seed and step."""
    task, stop, losses = segmentation_task(CLASSES, CPU), StopRequest(), []

    def stopping_loss(prediction, batch: LabelledBatch):
        losses.append(prediction)
        stop.is_made |= len(losses) == 5  # PSPNet has two a step
        return task.loss(prediction, batch)

    def run(folder, task, stop):
        finetuner = make_finetuner(artifacts, "pspnet")
        return finetuner.run_cell("full", task, ROWS, Checkpoints(folder), stop)

    whole = run(tmp_path / "whole", task, StopRequest())
    with pytest.raises(Interrupted, match="stopped after step"):
        run(tmp_path / "stopped", replace(task, loss=stopping_loss), stop)
    resumed = run(tmp_path / "stopped", task, StopRequest())
    assert whole.metrics == resumed.metrics
    assert all(torch.equal(value, resumed.weights[key]) for key, value in whole.weights.items())
