"""The stage `finetune`: metrics, pictures, weights, and datasets without labels."""

import contextlib
import json

import numpy as np
from safetensors.torch import load_file

from pipeline import layout
from pipeline.__main__ import main
from pipeline.models.loading import load_pretrained
from pipeline.stages.write_manifest import write_manifest
from pipeline.training.checkpoint import load_tensors
from tests.room import small_params, write_room

OPTIONS = ["--variant", "none", "--seed", "0", "--device", "cpu", "--threads", "1"]
ITEM = ("boxes", "none", 0)
RESULTS = layout.finetune_results(*ITEM)


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


def test_missing_pretraining_names_the_file(enter, capsys):
    enter(small_params())
    assert main(["finetune", *OPTIONS]) == 1
    assert "metadata.json" in capsys.readouterr().err
