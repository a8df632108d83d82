"""The stage `predict-mean` on the analytic rooms."""

import json

import numpy as np

from pipeline import layout
from pipeline.__main__ import main
from pipeline.data.cache import ByteCache
from pipeline.data.labelled import load_labelled
from pipeline.reporting.results import MEAN_PREDICTOR, Results
from pipeline.stages.write_manifest import write_manifest
from tests.room import small_params, write_room


def test_scores_by_task(enter) -> None:
    enter(params := small_params())
    assert main(["predict-mean"]) == 0
    found = json.loads(layout.mean_predictor("boxes").read_text())
    folder = layout.artifacts_dir("boxes")
    training, validation = load_labelled(folder, ["room_a", "room_b"], ["room_b"], {}, ByteCache())
    depth = np.stack([training[row].depth for row in range(len(training))]).astype(float)
    true = np.stack([validation[row].depth for row in range(len(validation))]).astype(float)
    mean = depth[(depth > 0) & (depth <= params.finetuning.depth_max_m)].mean()
    np.testing.assert_allclose(found["depth_m"], mean, rtol=1e-6)
    errors = (true - mean)[(true > 0) & (true <= params.finetuning.depth_max_m)]
    np.testing.assert_allclose(
        found["tasks"]["depth"]["score"], -100 * (errors**2).mean(), rtol=1e-5
    )
    labels = np.stack([training[row].label for row in range(len(training))])
    assert found["label"] == f"label {np.bincount(labels[labels != 255]).argmax()}"
    assert set(found["tasks"]) == {"depth", "reconstruction", "segmentation"}
    assert (found["n_train"], found["n_validation"], found["skipped"]) == (4, 4, {})
    # The tables show it.
    cell = Results(params).cell(MEAN_PREDICTOR, "frozen", "depth")
    assert list(cell.values.values()) == [found["tasks"]["depth"]["score"]]


def test_without_labels_segmentation_is_skipped_with_a_reason(enter) -> None:
    enter(params := small_params())
    write_room(layout.artifacts_dir("boxes"), "room_b", labels=False)
    write_manifest(params, "labelled_frames")
    assert main(["predict-mean"]) == 0
    found = json.loads(layout.mean_predictor("boxes").read_text())
    assert found["skipped"] == {"segmentation": "no labels in the validation frames"}
    assert set(found["tasks"]) == {"depth", "reconstruction"}
