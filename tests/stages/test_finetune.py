"""The stage `finetune`: metrics, pictures, weights, and datasets without labels."""

import contextlib
import json

import numpy as np
import pytest
from safetensors.torch import load_file

from pipeline import layout
from pipeline.__main__ import main
from pipeline.models.loading import load_pretrained
from pipeline.reporting.results import cell_value, read_run
from pipeline.stages.write_manifest import write_manifest
from pipeline.training.checkpoint import load_tensors
from tests.room import small_params, write_params, write_room

OPTIONS = ["--variant", "none", "--seed", "0", "--device", "cpu", "--threads", "1"]
ITEM = ("boxes", "none", 0)
RESULTS = layout.finetune_results(*ITEM)
#: Lists of params in which the row is finetuned on segmentation alone.
ONLY_SEGMENTED = {"rows": ["view"], "segmentation_rows": ["none"]}


def metrics():
    return json.loads((RESULTS / "metrics.json").read_text())


def test_all_cells(enter):
    enter(small_params())
    assert main(["pretrain", *OPTIONS]) == 0
    assert main(["finetune", *OPTIONS]) == 0
    found = metrics()
    protocols, tasks = (
        ("frozen", "half_frozen", "full"),
        ("depth", "reconstruction", "segmentation"),
    )
    assert set(found["cells"]) == {f"{p}/{t}" for p in protocols for t in tasks}
    assert (found["variant"], found["seed"], found["dataset"]) == ("none", 0, "boxes")
    assert (found["n_train"], found["n_validation"], found["skipped"]) == (4, 4, {})
    depth = found["cells"]["full/depth"]
    assert depth["last"]["step"] == depth["steps"] == 6
    np.testing.assert_allclose(depth["last"]["score"], -100 * depth["last"]["rmse_m"] ** 2)
    assert "label 1" in found["cells"]["frozen/segmentation"]["best"]["per_class"]
    pictures = np.load(RESULTS / "pictures.npz")
    assert set(pictures) == {"frame", "image", "depth_true"} | {
        f"{p}/{t}" for p in protocols for t in tasks[:2]
    }
    assert pictures["frame"].tolist() == [f"room_b {i}" for i in (0, 3, 5, 8)]
    assert pictures["image"].shape == pictures["frozen/reconstruction"].shape == (4, 48, 64, 3)
    assert pictures["full/depth"].shape == pictures["depth_true"].shape == (4, 48, 64)
    assert pictures["full/depth"].dtype == np.float32
    assert pictures["frozen/reconstruction"].dtype == np.uint8
    assert not layout.checkpoint_dir("finetune", *ITEM).exists()

    weights, content = load_tensors(layout.finetuned(*ITEM) / "half_frozen-depth.safetensors")
    unet = load_pretrained(layout.pretrained(*ITEM))
    assert content["model"] == unet.settings
    assert content["metrics"] == found["cells"]["half_frozen/depth"]
    decoder = {k.removeprefix("unet.decoder."): v for k, v in weights.items() if "decoder" in k}
    unet.decoder.load_state_dict(decoder)
    assert set(load_file(layout.finetuned(*ITEM) / "frozen-depth.safetensors")) == {
        name for name in weights if name.startswith("head.")
    }


@pytest.mark.parametrize("more", [(), ("--percent", "40"), ("--network", "pspnet")])
def test_a_row_without_a_checkpoint_has_cells_that_say_so(enter, more):
    enter(small_params())
    options = ["--variant", "imagenet", *OPTIONS[2:]]
    assert main(["pretrain", *options]) == 0
    assert main(["finetune", *options, *more]) == 0
    label = "-".join(["imagenet", *more[1:]])
    folder = layout.finetune_results("boxes", label, 0)
    run = read_run(folder / "metrics.json")
    assert run.metrics["cells"] == {}
    assert run.metrics["variant"] == "imagenet"
    for task in ["segmentation"] if more else ["depth", "reconstruction", "segmentation"]:
        assert cell_value(run, "full", task, "best", "score") == "no checkpoint given"
    if not more:
        assert set(np.load(folder / "pictures.npz")) == {"frame", "image", "depth_true"}
        assert not list(layout.finetuned("boxes", "imagenet", 0).iterdir())
    assert not layout.checkpoint_dir("finetune", "boxes", label, 0).exists()


def test_without_labels_segmentation_is_skipped_with_a_reason(enter):
    changes = {"protocols": ["frozen"], "keep_weights": False}
    enter(params := small_params(finetuning=changes))
    write_room(layout.artifacts_dir("boxes"), "room_b", labels=False)
    write_manifest(params, "labelled_frames")
    assert main(["pretrain", *OPTIONS]) == 0
    assert main(["finetune", *OPTIONS]) == 0
    assert set(metrics()["cells"]) == {"frozen/depth", "frozen/reconstruction"}
    assert metrics()["skipped"] == {"segmentation": "no labels in the validation frames"}
    # The folder is there, since DVC tracks it, and empty.
    assert not list(layout.finetuned(*ITEM).iterdir())


def test_other_pretrained_weights_do_not_resume_finished_cells(
    enter, monkeypatch, tmp_path, capsys
):
    changes = {"protocols": ["frozen"], "tasks": ["depth"]}
    enter(small_params(finetuning=changes))
    assert main(["pretrain", *OPTIONS]) == 0
    monkeypatch.setattr("pipeline.stages.finetune._store_pictures", None)
    for _ in range(2):
        with contextlib.suppress(TypeError):
            main(["finetune", *OPTIONS])
    assert "frozen/depth: finished before, kept" in capsys.readouterr().out
    assert not RESULTS.exists()
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    metadata = layout.pretrained(*ITEM) / "metadata.json"
    metadata.write_text(metadata.read_text() + "\n")
    assert main(["finetune", *OPTIONS]) == 0
    assert "finished before" not in capsys.readouterr().out


def pretrain_and_finetune(enter, *instead, **changes):
    """Results of an item of another stage than `finetune`, from a pretraining of its own."""
    enter(small_params(**changes))
    assert main(["pretrain", *OPTIONS]) == 0
    assert main(["finetune", *OPTIONS, *instead]) == 0
    folder = layout.finetune_results("boxes", f"none-{instead[1]}", 0)
    return folder, json.loads((folder / "metrics.json").read_text())


def test_rows_that_only_segment(enter):
    """Whatever the others are finetuned for; the outputs stand where all rows' do."""
    params = small_params(finetuning={"tasks": ["depth"], "protocols": ["frozen"]})
    enter(params.model_copy(update=ONLY_SEGMENTED))
    assert main(["pretrain", *OPTIONS]) == 0
    assert main(["finetune", *OPTIONS, "--segmentation-only"]) == 0
    assert list(metrics()["cells"]) == ["full/segmentation"]
    assert [file.name for file in RESULTS.iterdir()] == ["metrics.json"]
    assert [file.name for file in layout.finetuned(*ITEM).iterdir()] == [
        "full-segmentation.safetensors"
    ]
    assert not layout.checkpoint_dir("finetune_segmentation", *ITEM).exists()


@pytest.mark.parametrize(
    ("lists", "asked", "listed", "right"),
    [
        ({}, ["--segmentation-only"], "rows", "none --seed 0"),
        (ONLY_SEGMENTED, [], "segmentation_rows", "none --segmentation-only --seed 0"),
    ],
)
def test_a_row_of_the_other_list(enter, capsys, lists, asked, listed, right):
    enter(small_params().model_copy(update=lists))
    assert main(["finetune", *OPTIONS, *asked]) == 1
    message = capsys.readouterr().err
    assert f"none stands in {listed}, " in message
    assert f"`python -m pipeline finetune --variant {right}`" in message
    assert not RESULTS.exists()


def test_finished_cells_survive_another_protocol(enter, monkeypatch, capsys):
    """Of a run that was not stored: which cells there are decides nothing about one of them."""
    cells = {"protocols": ["frozen"], "tasks": ["depth"]}
    enter(small_params(finetuning=cells))
    assert main(["pretrain", *OPTIONS]) == 0
    with monkeypatch.context() as patched, contextlib.suppress(TypeError):
        patched.setattr("pipeline.stages.finetune._store_pictures", None)
        main(["finetune", *OPTIONS])
    write_params(small_params(finetuning=cells | {"protocols": ["frozen", "full"]}))
    assert main(["finetune", *OPTIONS]) == 0
    assert "frozen/depth: finished before, kept" in capsys.readouterr().out
    assert set(metrics()["cells"]) == {"frozen/depth", "full/depth"}


def test_a_part_of_the_labels(enter):
    changes = {"label_fractions": {"rows": ["none"], "by": "image"}}
    folder, found = pretrain_and_finetune(enter, "--percent", "60", **changes)
    assert (found["variant"], found["percent"], found["seed"]) == ("none", "60", 0)
    assert list(found["cells"]) == ["full/segmentation"]
    cell = found["cells"]["full/segmentation"]
    assert (cell["n_train"], cell["n_validation"], cell["steps"]) == (2, 4, 6)
    listed = json.loads((folder / "training_frames.json").read_text())
    assert (listed["percent"], listed["by"], listed["seed"]) == (60, "image", 0)
    assert listed["n_frames"] == 2
    assert list(listed["scenes"]) == ["room_a"]
    first = listed["scenes"]["room_a"]
    assert set(first) < {0, 3, 5, 8}
    # The larger part holds the smaller one, and nothing is left of other stages' outputs.
    assert main(["finetune", *OPTIONS, "--percent", "80"]) == 0
    larger = layout.finetune_results("boxes", "none-80", 0) / "training_frames.json"
    assert set(first) < set(json.loads(larger.read_text())["scenes"]["room_a"])
    assert sorted(path.name for path in folder.iterdir()) == [
        "metrics.json",
        "training_frames.json",
    ]
    assert not layout.finetuned("boxes", "none-60", 0).exists()
    assert not layout.checkpoint_dir("finetune_fraction", "boxes", "none-60", 0).exists()


def test_a_part_smaller_than_a_scene_names_the_remedy(enter, capsys):
    enter(small_params(label_fractions={"rows": ["none"], "by": "scene"}))
    assert main(["pretrain", *OPTIONS]) == 0
    assert main(["finetune", *OPTIONS, "--percent", "60"]) == 1
    assert "too few for one scene" in (error := capsys.readouterr().err)
    assert "label_fractions.by: image" in error
    assert not layout.finetune_results("boxes", "none-60", 0).exists()


def test_another_network(enter):
    changes = {
        "networks": {"rows": ["none"], "width": 16, "steps": 3, "batch_images": 2},
        "finetuning": {"miou_counting": "pri3d"},
    }
    folder, found = pretrain_and_finetune(enter, "--network", "deeplabv3plus", **changes)
    assert (found["variant"], found["network"]) == ("none", "deeplabv3plus")
    cell = found["cells"]["full/segmentation"]
    assert (cell["n_train"], cell["steps"], cell["last"]["step"]) == (4, 3, 3)
    # Counted as Pri3D's DeepLab is: without absent classes.
    assert set(cell["last"]["per_class"]) == {"label 0", "label 1"}
    assert [path.name for path in folder.iterdir()] == ["metrics.json"]


def test_pri3ds_counting_reaches_the_metrics(enter):
    changes = {"protocols": ["full"], "tasks": ["segmentation"], "miou_counting": "pri3d"}
    enter(small_params(finetuning=changes))
    assert main(["pretrain", *OPTIONS]) == 0
    assert main(["finetune", *OPTIONS]) == 0
    last = metrics()["cells"]["full/segmentation"]["last"]
    assert last["per_class"]["label 2"] == 0  # occurs nowhere
    weights = load_file(layout.finetuned(*ITEM) / "full-segmentation.safetensors")
    assert weights["head.bias"].shape == (4,)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--percent", "100"], "'100' is not a whole number from 1 to 99"),
        (["--network", "segnet"], "deeplabv3"),
        (["--network", "pspnet", "--percent", "20"], "not allowed with"),
    ],
)
def test_wrong_arguments_are_named(enter, capsys, arguments, named):
    enter(small_params())
    with pytest.raises(SystemExit):
        main(["finetune", *OPTIONS, *arguments])
    assert named in capsys.readouterr().err


def test_missing_pretraining_names_the_file(enter, capsys):
    enter(small_params())
    assert main(["finetune", *OPTIONS]) == 1
    assert "metadata.json" in capsys.readouterr().err
