"""Finetuning on the analytic rooms: what is frozen stays, what is trained learns."""

import math
import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from pipeline.data import store
from pipeline.data.augment_labelled import augment_labelled
from pipeline.data.cache import ByteCache
from pipeline.data.labelled import LabelledBatch, load_labelled
from pipeline.models.unet import UNet2D
from pipeline.schemas import ArtifactError
from pipeline.training import fixed_outputs, recipes
from pipeline.training.batch_norm import pri3d_momentum
from pipeline.training.cell_result import CellResult
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.finetune import (
    Finetuner,
    evaluation_steps,
    finetune,
    picture_rows,
    training_order,
)
from pipeline.training.freezing import SplitNetwork
from pipeline.training.interruption import StopRequest
from pipeline.training.recipes import unet_recipe
from pipeline.training.tasks import depth_task, reconstruction_task, segmentation_task
from tests.room import small_params

CPU = torch.device("cpu")
PROTOCOLS = ["frozen", "half_frozen", "full"]
ROWS = {"training": [0, 1, 2, 3], "validation": [0, 1, 2, 3]}
#: Frames of a cell, the folder of its checkpoints (none is due), and no request to stop.
RUN = (ROWS, Checkpoints(Path("unused")), StopRequest())


def make_unet():
    torch.manual_seed(0)
    return UNet2D("resnet18", 0.125, 8)


def make_tasks(section):
    names = ("wall", "floor", "ceiling")
    return [depth_task(section), reconstruction_task(), segmentation_task(names, CPU)]


def make_finetuner(artifacts, section=None, seed=0, unet=None, **options):
    section = section or small_params().finetuning
    splits = load_labelled(artifacts, ["room_a", "room_b"], ["room_b"], {}, ByteCache())
    return Finetuner(unet_recipe(unet or make_unet(), section), *splits, seed, CPU, **options)


def record_networks(monkeypatch):
    """Networks of the cells, as they are made from now on, and their states at that moment."""
    networks, states = [], []

    class Recorded(SplitNetwork):
        def __init__(self, *args):
            super().__init__(*args)
            networks.append(self)
            states.append({k: v.clone() for k, v in self.state_dict().items()})

    monkeypatch.setattr(recipes, "SplitNetwork", Recorded)
    return networks, states


def assert_same(before, after, prefix, same=True):
    pairs = [(before[name], after[name]) for name in before if name.startswith(prefix)]
    assert pairs
    assert all(torch.equal(a, b) for a, b in pairs) == same


@pytest.mark.parametrize(
    ("protocol", "fixed", "trained"),
    [
        ("frozen", ["unet."], ["head."]),
        ("half_frozen", ["unet.encoder."], ["unet.decoder.", "head."]),
        ("full", [], ["unet.encoder.", "unet.decoder.", "head."]),
    ],
)
def test_fixed_parts_keep_every_bit_and_the_others_change(
    artifacts, monkeypatch, protocol, fixed, trained
):
    networks, states = record_networks(monkeypatch)
    unet = make_unet()
    finetuner = make_finetuner(artifacts, unet=unet)
    result = finetuner.run_cell(protocol, depth_task(small_params().finetuning), *RUN)
    before, after = states[0], networks[0].state_dict()
    for prefix in fixed:  # weights and BatchNorm statistics
        assert_same(before, after, prefix)
    for prefix in trained:
        assert_same(before, after, prefix, same=False)
    assert {name for name in after if name.startswith(tuple(trained))} == set(result.weights)
    # The pretrained network serves the next cell.
    for name, tensor in make_unet().state_dict().items():
        assert torch.equal(tensor, unet.state_dict()[name])


def test_full_has_a_plain_head_and_the_others_an_mlp():
    heads = {p: SplitNetwork(make_unet(), p, 3, 16).head for p in PROTOCOLS}
    assert isinstance(heads["full"], torch.nn.Conv2d)
    kinds = [type(layer).__name__ for layer in heads["frozen"]]
    assert kinds == ["Conv2d", "ReLU", "BatchNorm2d", "Conv2d"]
    assert heads["half_frozen"][0].out_channels == 16


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_cut_network_computes_the_whole_network(protocol):
    network = SplitNetwork(make_unet(), protocol, 2, 16).eval()
    images = torch.randn(2, 3, 48, 64)
    expected = torch.nn.functional.interpolate(
        network.head(network.unet(images)), (48, 64), mode="bilinear", align_corners=True
    )
    torch.testing.assert_close(network(network.fixed(images), (48, 64)), expected)


def test_kept_outputs_change_nothing(artifacts, monkeypatch):
    task = depth_task(small_params().finetuning)
    kept = make_finetuner(artifacts).run_cell("half_frozen", task, *RUN)
    monkeypatch.setattr(fixed_outputs, "LIMIT_BYTES", 0)
    again = make_finetuner(artifacts).run_cell("half_frozen", task, *RUN)
    for name, tensor in kept.weights.items():
        torch.testing.assert_close(tensor, again.weights[name], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("protocol", ["half_frozen", "full"])
def test_processes_that_decode_change_nothing(artifacts, monkeypatch, protocol):
    """Also not what is drawn at a step."""
    recipe = replace(unet_recipe(make_unet(), small_params().finetuning), augment=augment_labelled)
    monkeypatch.setattr(fixed_outputs, "EVALUATION_BATCH", 3)
    results = []
    for workers in (0, 2):
        finetuner = make_finetuner(artifacts, workers=workers)
        finetuner._recipe = recipe
        results.append(finetuner.run_cell(protocol, reconstruction_task(), *RUN))
        assert not multiprocessing.active_children()
    alone, helped = results
    assert alone.metrics == helped.metrics
    assert torch.equal(alone.picture, helped.picture)
    for name, tensor in alone.weights.items():
        assert torch.equal(tensor, helped.weights[name]), name


@pytest.mark.parametrize("workers", [0, 1])
def test_a_frame_that_cannot_be_decoded_is_named(artifacts, monkeypatch, workers):
    finetuner = make_finetuner(artifacts, workers=workers)
    monkeypatch.setattr(store.cv2, "imdecode", lambda *_: None)
    named = r"room_a/labelled_frames\.parquet, frame [358]: an image cannot be decoded"
    with pytest.raises(ArtifactError, match=named):
        finetuner.run_cell("full", reconstruction_task(), *RUN)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("protocol", ["frozen", "half_frozen"])
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_frozen_batch_norm(artifacts, monkeypatch, protocol, mode):
    """In eval mode all of the fixed part stays; in train mode its statistics follow the batches."""
    network, before = record_networks(monkeypatch)
    section = small_params(finetuning={"frozen_batch_norm": mode}).finetuning
    make_finetuner(artifacts, section).run_cell(protocol, depth_task(section), *RUN)
    after = network[0].state_dict()
    fixed = [k for k in after if k.startswith({"frozen": "unet."}.get(protocol, "unet.encoder."))]
    statistics = [k for k in fixed if k.endswith(("running_mean", "running_var"))]
    assert len(statistics) > 10
    for key in fixed:
        changes = mode == "train" and key.endswith(("mean", "var", "num_batches_tracked"))
        assert torch.equal(before[0][key], after[key]) != changes, key


@pytest.mark.parametrize("protocol", ["frozen", "half_frozen"])
def test_frozen_batch_norm_uses_the_batchs_statistics_in_train_mode(protocol):
    images = torch.randn(3, 3, 48, 64)
    outputs = {}
    for mode in ("eval", "train"):
        network = SplitNetwork(make_unet(), protocol, 2, 16, mode).train()
        assert network.fixed_is_constant == (mode == "eval")
        outputs[mode] = network.fixed(images)[-1]
        assert not outputs[mode].requires_grad
        reference = make_unet().train(mode == "train")
        whole = reference(images) if protocol == "frozen" else reference.encode(images)[-1]
        torch.testing.assert_close(outputs[mode], whole.detach())
    assert not torch.allclose(outputs["eval"], outputs["train"])


def test_batch_norm_momentum_of_pri3d(artifacts, monkeypatch):
    """Its schedule written out (solver.py of its code), and its use at every step."""
    expected = [max(0.5 * 0.5 ** int(step / 20), 0.001) for step in range(400)]
    assert [pri3d_momentum(step) for step in range(400)] == expected
    assert pri3d_momentum(179) > pri3d_momentum(180) == 0.001
    networks, _ = record_networks(monkeypatch)
    seen, task = [], depth_task(small_params().finetuning)

    def loss(prediction, batch):
        norms = [m for m in networks[0].modules() if isinstance(m, torch.nn.BatchNorm2d)]
        seen.append({norm.momentum for norm in norms})
        return task.loss(prediction, batch)

    for counting, momenta in (("constant", [0.1]), ("pri3d", [0.5, 0.25])):
        networks.clear()
        seen.clear()
        changes = {"batch_norm_momentum": counting, "steps": {"full": 21}}
        section = small_params(finetuning=changes).finetuning
        make_finetuner(artifacts, section).run_cell("full", replace(task, loss=loss), *RUN)
        assert seen == [{momenta[0]}] * 20 + [{momenta[-1]}]


def test_best_and_last_validation_are_both_kept(artifacts, monkeypatch):
    """Of four validations, one of which found no valid pixel, the second is the best."""
    scores = iter([-3.0, -1.0, math.nan, -2.0])
    monkeypatch.setattr(Finetuner, "_evaluate", lambda *_: {"score": next(scores), "scenes": {}})
    changes = {"steps": {"full": 8}, "evaluations": 4}
    section = small_params(finetuning=changes).finetuning
    cell = make_finetuner(artifacts, section).run_cell("full", depth_task(section), *RUN)
    assert (cell.metrics["best"]["score"], cell.metrics["best"]["step"]) == (-1.0, 4)
    assert (cell.metrics["last"]["score"], cell.metrics["last"]["step"]) == (-2.0, 8)
    assert [point["step"] for point in cell.metrics["curve"]] == [2, 4, 6, 8]
    assert cell.metrics["curve"][3]["score"] == -2.0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_bf16_finetunes_as_float32_does(artifacts, protocol):
    scores = {}
    for precision in ("float32", "bf16"):
        section = small_params(finetuning={"compute": {"precision": precision}}).finetuning
        cell = make_finetuner(artifacts, section).run_cell(protocol, depth_task(section), *RUN)
        assert {t.dtype for t in cell.weights.values() if t.is_floating_point()} == {torch.float32}
        scores[precision] = cell.metrics["last"]["score"]
    assert scores["bf16"] != scores["float32"]
    assert scores["bf16"] == pytest.approx(scores["float32"], rel=0.05)


@pytest.mark.parametrize(
    ("protocol", "bound"), [("frozen", -115), ("half_frozen", -75), ("full", -75)]
)
def test_training_improves_reconstruction(artifacts, protocol, bound):
    changes = {"steps": {protocol: 60}, "evaluations": 6, "learning_rate": 0.05}
    section = small_params(finetuning=changes).finetuning
    cell = make_finetuner(artifacts, section).run_cell(protocol, reconstruction_task(), *RUN)
    assert cell.metrics["last"]["step"] == cell.metrics["steps"] == 60
    assert cell.metrics["best"]["score"] >= cell.metrics["last"]["score"]
    # Untrained about -180; the frames' variance, which a constant colour reaches, about -100.
    assert cell.metrics["best"]["score"] > bound


def test_all_cells_resume_and_are_deterministic(artifacts, tmp_path, monkeypatch):
    section = small_params().finetuning

    def run(folder, seed=0):
        finetuner = make_finetuner(artifacts, seed=seed)
        return finetune(
            finetuner, PROTOCOLS, make_tasks(section), lambda _: ROWS, folder, StopRequest()
        )

    first = run(tmp_path / "a")
    assert list(first) == [
        f"{p}/{t}" for p in PROTOCOLS for t in ("depth", "reconstruction", "segmentation")
    ]
    assert first["frozen/reconstruction"].picture.dtype == torch.uint8
    assert first["full/depth"].picture.shape == (4, 48, 64)
    assert first["full/segmentation"].picture is None
    assert set(first["full/segmentation"].metrics["last"]["per_class"]) <= {
        "wall",
        "floor",
        "ceiling",
    }
    second = run(tmp_path / "b")
    for name, cell in first.items():
        assert cell.metrics["last"] == second[name].metrics["last"]
        for key, tensor in cell.weights.items():
            assert torch.equal(tensor, second[name].weights[key])
    (tmp_path / "a" / "full-segmentation.safetensors").unlink()
    damaged = tmp_path / "a" / "frozen-depth.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    ran, original = [], Finetuner.run_cell
    monkeypatch.setattr(
        Finetuner,
        "run_cell",
        lambda self, p, t, *run: ran.append((p, t.name)) or original(self, p, t, *run),
    )
    resumed = run(tmp_path / "a")
    assert ran == [("frozen", "depth"), ("full", "segmentation")]
    for name, cell in first.items():
        assert cell.metrics["last"] == resumed[name].metrics["last"]
        assert (cell.picture is None) == (resumed[name].picture is None)
    assert (
        first["full/depth"].metrics["last"]
        != run(tmp_path / "c", seed=1)["full/depth"].metrics["last"]
    )


def test_cell_result_round_trip(tmp_path):
    cell = CellResult({"steps": 3}, {"head.weight": torch.ones(2)}, torch.zeros(1, 4, 4))
    cell.save(tmp_path / "cell.safetensors")
    loaded = CellResult.load(tmp_path / "cell.safetensors")
    assert loaded.metrics == {"steps": 3}
    assert torch.equal(loaded.weights["head.weight"], torch.ones(2))
    assert loaded.picture.shape == (1, 4, 4)


def test_evaluation_steps_end_with_the_last_step():
    assert evaluation_steps(120, 4) == [30, 60, 90, 120]
    assert evaluation_steps(7, 3) == [2, 5, 7]
    assert evaluation_steps(2, 5)[-1] == 2


def test_order_is_whole_epochs():
    order = training_order([2, 4, 6, 8, 9], batch=2, steps=5, seed=0)
    assert [len(batch) for batch in order] == [2] * 5
    assert len({*order[0], *order[1]}) == 4
    assert order != training_order([2, 4, 6, 8, 9], batch=2, steps=5, seed=1)
    assert training_order([3], batch=2, steps=1, seed=0) == [[3, 3]]


def test_picture_rows_are_spread():
    assert picture_rows(10) == [0, 3, 6, 9]
    assert picture_rows(2) == [0, 1]


def small_batch(depth, label):
    return LabelledBatch((("s", 0),), torch.zeros(1, 3, 1, 4), torch.tensor([[depth]]), label)


def test_losses_leave_out_what_is_invalid():
    section = small_params(finetuning={"depth_max_m": 5.0}).finetuning
    label = torch.tensor([[[0, 1, 255, 2]]], dtype=torch.uint8)
    batch = small_batch([1.0, 2.0, 0.0, 7.0], label)
    prediction = torch.tensor([[[[2.0, 2.0, 9.0, 9.0]]]])
    assert float(depth_task(section).loss(prediction, batch)) == pytest.approx(0.5)
    assert float(depth_task(section).loss(prediction, small_batch([0.0] * 4, label))) == 0
    segmentation = segmentation_task(("a", "b", "c"), CPU)
    logits = torch.randn(1, 3, 1, 4)
    expected = -torch.stack(
        [logits.log_softmax(1)[0, c, 0, i] for i, c in ((0, 0), (1, 1), (3, 2))]
    )
    assert float(segmentation.loss(logits, batch)) == pytest.approx(float(expected.mean()))
    ignored = small_batch([1.0] * 4, torch.full_like(label, 255))
    assert float(segmentation.loss(logits, ignored)) == 0


@pytest.mark.parametrize("counting", ["classes", "pri3d"])
def test_segmentation_task_counts_as_asked(counting):
    """Three classes and five pixels, one ignored; the slow reference is Pri3D's weighted NLL."""
    label = torch.tensor([[[0, 1, 255, 2, 1]]], dtype=torch.uint8)
    batch = LabelledBatch((("s", 0),), torch.zeros(1, 3, 1, 5), torch.ones(1, 1, 5), label)
    task = segmentation_task(("a", "b", "c"), CPU, counting)
    first = {"classes": 0, "pri3d": 1}[counting]
    assert task.channels == 3 + first
    logits = torch.randn(1, task.channels, 1, 5, generator=torch.Generator().manual_seed(0))
    shifted = torch.where(label == 255, 0, label.long() + 1)  # Pri3D's labels: 0 is ignored
    weights = torch.tensor([0.0, 1, 1, 1])
    scores = (
        logits if counting == "pri3d" else functional.pad(logits, (0, 0, 0, 0, 1, 0), value=-99)
    )
    expected = functional.nll_loss(scores.log_softmax(1), shifted, weight=weights)
    torch.testing.assert_close(task.loss(logits, batch), expected)
    # Class b is missed once: as `none of them` where that is an output, else as class a.
    predicted = torch.tensor([0, 1, 0, 2, -1 if counting == "pri3d" else 0]) + first
    metric = task.make_metric()
    task.process(
        metric, functional.one_hot(predicted, task.channels).T[None, :, None].float(), batch
    )
    hidden = {"a": 100, "b": 100, "c": 100}
    counted = {"a": 50, "b": 50, "c": 100}
    result = metric.evaluate()
    assert result["per_class"] == (hidden if counting == "pri3d" else counted)
    assert result["miou"] == pytest.approx(100 if counting == "pri3d" else 200 / 3)
