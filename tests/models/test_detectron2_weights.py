"""Detectron2's `.pkl`: what its own tool makes of torchvision's weights is read back."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.models.loading import CheckpointError, load_torchvision_encoder, read_state
from pipeline.models.unet import UNet2D
from tests.models.foreign import to_detectron2


def resnet(seed: int) -> UNet2D:
    torch.manual_seed(seed)
    return UNet2D("resnet50", width=0.125, feature_channels=6)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_encoder_starts_from_detectron2(tmp_path: Path, protocol: int) -> None:
    source, unet = resnet(0), resnet(1)
    state = source.encoder.state_dict()
    file = tmp_path / "R-50.pkl"
    with_classifier = {**state, "fc.weight": torch.ones(10, 64), "fc.bias": torch.ones(10)}
    file.write_bytes(pickle.dumps(to_detectron2(with_classifier), protocol))
    load_torchvision_encoder(file, unet)
    for name, tensor in unet.encoder.state_dict().items():
        assert torch.equal(tensor, state[name]), name


def test_backbone_of_a_detector(tmp_path: Path) -> None:
    """Frozen BatchNorm has no counter, and the detector's other parts are left out."""
    source, unet = resnet(0), resnet(1)
    state = {k: v for k, v in source.encoder.state_dict().items() if "num_batches" not in k}
    content = to_detectron2(state)
    content["model"] = {f"backbone.bottom_up.{k}": v for k, v in content["model"].items()}
    content["model"]["roi_heads.box_predictor.cls_score.bias"] = np.ones(3, np.float32)
    (tmp_path / "model_final.pkl").write_bytes(pickle.dumps(content))
    load_torchvision_encoder(tmp_path / "model_final.pkl", unet)
    for name, tensor in state.items():
        assert torch.equal(tensor, unet.encoder.state_dict()[name]), name


@pytest.mark.parametrize("array", [
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(6, dtype=">f4").reshape(3, 2),
    np.array(5, np.int64),
    np.empty((0, 3), np.float16),
    np.array([True, False]),
], ids=["column major", "big endian", "scalar", "empty", "bool"])  # fmt: skip
def test_arrays_of_every_layout(tmp_path: Path, array: np.ndarray) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        file = tmp_path / f"{protocol}.pkl"
        file.write_bytes(pickle.dumps({"model": {"a": array}}, protocol))
        np.testing.assert_array_equal(read_state(file)["a"].numpy(), array)


def test_python_2_wrote_bytes_as_text(tmp_path: Path) -> None:
    """The oldest files: BINSTRING where newer pickles have bytes."""
    raw = np.array([1.5, -2.0], "<f4").tobytes()
    newer = pickle.dumps({"model": {"a": np.array([1.5, -2.0], "<f4")}}, 3)
    stored = b"C" + bytes([len(raw)]) + raw
    assert stored in newer
    (tmp_path / "R-50.pkl").write_bytes(newer.replace(stored, b"U" + stored[1:]))
    assert read_state(tmp_path / "R-50.pkl")["a"].tolist() == [1.5, -2.0]


def test_caffe2_names_are_not_guessed(tmp_path: Path) -> None:
    """MSRA's R-50.pkl is another network (BGR, stride in the 1x1): its names do not fit."""
    names = {"conv1_w": np.ones((8, 3, 7, 7), np.float32), "res2_0_branch2a_w": np.ones(3)}
    (tmp_path / "R-50.pkl").write_bytes(pickle.dumps({"model": names}))
    with pytest.raises(CheckpointError, match="2 unexpected: conv1_w; res2_0_branch2a_w"):
        load_torchvision_encoder(tmp_path / "R-50.pkl", resnet(0))
