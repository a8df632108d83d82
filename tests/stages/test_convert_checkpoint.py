"""Checkpoints of other projects: in their true formats, there and back without a changed bit."""

import json
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.sparse.minkunet import _rename
from pipeline.__main__ import main
from pipeline.config import Model, Variant
from pipeline.models.conversion.networks import load_encoder, load_unet
from pipeline.models.conversion.reading import read_weights
from pipeline.models.loading import (
    load_pretrained,
    load_strict,
    load_torchvision_encoder,
    read_state,
)
from pipeline.models.resnet import ResNet
from pipeline.models.sparse_unet import SparseUNet
from pipeline.models.unet import UNet2D
from pipeline.training.contrastive import ContrastiveModel
from tests.models.foreign import (
    filled,
    pri3d_decoder,
    pri3d_file,
    pri3d_shapes,
    sparse_state,
    to_detectron2,
    torchvision_shapes,
)
from tests.room import small_params

#: As in Pri3D, the 3D network's output is as wide as its last stage.
PLANES = (8, 8, 8, 8, 16, 8, 8, 12)


def convert(*arguments: object) -> int:
    return main(["convert-checkpoint", *map(str, arguments)])


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


def without(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)}


@pytest.fixture
def released(tmp_path: Path) -> tuple[Path, dict[str, Tensor]]:
    """A small file in the format of Pri3D's released VIEW + GEO checkpoints."""
    torch.manual_seed(0)
    sparse = SparseUNet(3, 12, PLANES, (2, 1, 1, 2, 1, 1, 1, 2), 8)
    model = {
        **filled(pri3d_shapes("resnet50", base=8, outputs=10)),
        **sparse_state(sparse, _rename),
        **{f"w2d.{k}": v for k, v in nn.Linear(10, 6).state_dict().items()},
        **{f"w3d.{k}": v for k, v in nn.Linear(12, 6).state_dict().items()},
        "headnet.weight": torch.ones(1, 10, 1, 1),
        "headnet.bias": torch.ones(1),
        "headloss.get_gradient.edge_conv.weight": torch.ones(2, 1, 3, 3),
    }
    file = tmp_path / "checkpoint5.pth"
    torch.save(pri3d_file(model), file)
    return file, model


def test_pri3d_to_a_pretrained_folder(released, tmp_path, capsys):
    file, model = released
    assert convert(file, tmp_path / "models/pri3d/pretrained/view_geo-s3") == 0
    shown = capsys.readouterr().out
    assert "weights of pri3d" in shown
    assert "left out: headloss.get_gradient (1)" in shown
    folder = tmp_path / "models/pri3d/pretrained/view_geo-s3"
    metadata = json.loads((folder / "metadata.json").read_text())
    assert (metadata["variant"], metadata["seed"]) == ("view_geo", 3)
    assert metadata["model"] == {"encoder": "resnet50", "width": 0.125, "feature_channels": 16}
    assert metadata["sparse"]["planes"] == list(PLANES)
    assert metadata["converted"]["left_out"][-1] == "headloss.get_gradient.edge_conv.weight"

    unet = load_pretrained(folder)
    assert_equal(unet.encoder.state_dict(), without(model, "backbone.encoder."))
    stored = read_state(folder / "model.safetensors")
    # Nothing of the 2D networks but names has changed.
    n_2d = sum(name.startswith(("backbone.", "w2d.", "w3d.", "headnet.")) for name in model)
    assert sum(not name.startswith("sparse.") for name in stored) == n_2d
    with torch.inference_mode():
        stages = unet.encode(torch.rand(1, 3, 64, 96))
        features = unet.decode(stages, (64, 96))
        weight, bias = stored["head_view.weight"], stored["head_view.bias"]
        found = torch.nn.functional.conv2d(features, weight, bias)
        assert torch.equal(found, pri3d_decoder(model, stages))


def test_a_second_stage_goes_on_from_it(released, tmp_path):
    """Networks of the sizes that its metadata say take every tensor."""
    file, _ = released
    assert convert(file, tmp_path / "view_geo-s0") == 0
    metadata = json.loads((tmp_path / "view_geo-s0/metadata.json").read_text())
    model = Model.model_validate(metadata["params"]["model"] | metadata["model"])
    assert (model.embedding_dim, model.linear_layers, model.linear_dim) == (10, "two", 6)
    variant = Variant(losses=["view", "geo", "depth"], linear=True)
    networks = ContrastiveModel(model, variant, seed=0)
    stored = read_state(tmp_path / "view_geo-s0/model.safetensors")
    load_strict(networks, stored, "converted")
    assert_equal(networks.state_dict(), stored)


def test_pri3ds_3d_network(released):
    file, model = released
    sparse = read_weights(file).part("sparse.")
    torch.manual_seed(0)
    expected = SparseUNet(3, 12, PLANES, (2, 1, 1, 2, 1, 1, 1, 2), 8)
    assert_equal(sparse, expected.state_dict())
    assert model["backbone3d.final.kernel"].ndim == 2
    assert model["backbone3d.block5.0.downsample.0.kernel"].ndim == 2


def test_torchvision_to_ours_to_detectron2_to_ours(tmp_path):
    state = filled(torchvision_shapes("resnet50", base=8))
    encoder = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    torch.save(state, tmp_path / "resnet50.pth")
    chain = ["ours-s0", "d2.pkl", "again-s0", "tv.pth", "tv.safetensors"]
    source = tmp_path / "resnet50.pth"
    for name in chain:
        seed = ["--decoder-seed", 4] if name.endswith("-s0") else []
        assert convert(source, tmp_path / name, *seed) == 0, name
        source = tmp_path / name
        assert_equal(dict(read_weights(source).part("unet.encoder.")), encoder)
    first, second = (tmp_path / name / "model.safetensors" for name in ("ours-s0", "again-s0"))
    assert_equal(read_state(first), read_state(second))
    assert_equal(read_state(tmp_path / "tv.pth"), encoder)


def test_detectron2s_names_are_those_of_its_own_tool(tmp_path):
    state = filled(torchvision_shapes("resnet50", base=8))
    torch.save(state, tmp_path / "resnet50.pth")
    assert convert(tmp_path / "resnet50.pth", tmp_path / "resnet50.pkl") == 0
    expected = to_detectron2({k: v for k, v in state.items() if not k.startswith("fc.")})["model"]
    content = pickle.loads((tmp_path / "resnet50.pkl").read_bytes(), encoding="latin1")
    assert content["matching_heuristics"] is True
    assert content["__author__"]
    assert content["model"].keys() == expected.keys()
    for name, array in expected.items():
        assert content["model"][name].dtype == array.dtype
        np.testing.assert_array_equal(content["model"][name], array)


def test_detectron2_files_are_read_by_every_numpy(tmp_path):
    """Numpy 2 pickles a private module that the numpy of Detectron2's time does not have."""
    torch.save(filled(torchvision_shapes("resnet18", base=8)), tmp_path / "resnet18.pth")
    assert convert(tmp_path / "resnet18.pth", tmp_path / "resnet18.pkl") == 0
    text: list[str] = []
    modules = set()
    for code, argument, _ in pickletools.genops((tmp_path / "resnet18.pkl").read_bytes()):
        if code.name == "STACK_GLOBAL":
            modules.add(".".join(text[-2:]))
        if isinstance(argument, str):
            text.append(argument)
    assert modules == {"numpy.ndarray"}


@pytest.mark.parametrize("is_unet", [False, True], ids=["ResNet", "Pri3D's UNet"])
def test_moco(tmp_path, is_unet):
    shapes = torchvision_shapes("resnet50", base=8)
    encoder = filled({k: v for k, v in shapes.items() if not k.startswith("fc.")})
    prefix = "module.encoder_q.encoder." if is_unet else "module.encoder_q."
    other = filled(shapes, seed=1)
    state = {
        **{f"{prefix}{name}": tensor for name, tensor in encoder.items()},
        **{f"module.encoder_q.fc.{n}.weight": torch.ones(4, 4) for n in (0, 2)},
        **{f"module.encoder_k.{name}": tensor for name, tensor in other.items()},
        "module.queue": torch.ones(4, 8),
        "module.queue_ptr": torch.zeros(1, dtype=torch.long),
    }
    content = {"epoch": 200, "arch": "resnet50", "state_dict": state, "optimizer": {"state": {}}}
    torch.save(content, tmp_path / "checkpoint_0199.pth.tar")
    assert convert(tmp_path / "checkpoint_0199.pth.tar", tmp_path / "moco.pth") == 0
    assert_equal(read_state(tmp_path / "moco.pth"), encoder)
    unet = UNet2D("resnet50", width=0.125)
    load_torchvision_encoder(tmp_path / "moco.pth", unet)
    assert_equal(unet.encoder.state_dict(), encoder)


def test_pri3ds_own_conversion_of_moco(tmp_path):
    """`backbone.` before a ResNet's names, and nothing around them."""
    shapes = torchvision_shapes("resnet18", base=8)
    encoder = filled({k: v for k, v in shapes.items() if not k.startswith("fc.")})
    torch.save({f"backbone.{k}": v for k, v in encoder.items()}, tmp_path / "moco.pth")
    assert_equal(dict(read_weights(tmp_path / "moco.pth").part("unet.encoder.")), encoder)


def test_data_parallel_and_flat_files(released, tmp_path):
    file, model = released
    expected = read_weights(file).state
    torch.save({f"module.{k}": v for k, v in model.items()}, tmp_path / "flat.pth")
    assert_equal(read_weights(tmp_path / "flat.pth").state, expected)


@pytest.mark.parametrize(("name", "n_keys", "n_parameters"), [
    ("resnet18", 122, 11_689_512),
    ("resnet50", 320, 25_557_032),
])  # fmt: skip
def test_full_size(name, n_keys, n_parameters):
    """torchvision's published parameter counts."""
    shapes = torchvision_shapes(name)
    assert len(shapes) == n_keys
    state = {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}
    floats = {k: v for k, v in state.items() if not k.endswith(("mean", "var", "tracked"))}
    assert sum(tensor.numel() for tensor in floats.values()) == n_parameters
    without_fc = {k: v for k, v in state.items() if not k.startswith("fc.")}
    assert load_encoder(without_fc, name).stage_channels[-1] == shapes["fc.weight"][1]
    with torch.device("meta"):
        own = ResNet(name).state_dict()
    assert {k: tuple(v.shape) for k, v in own.items()} == {
        k: tuple(v.shape) for k, v in without_fc.items()
    }


def test_full_size_pri3d_resnet18(tmp_path):
    """Spec C.1: 20,667,808 parameters, of which the head (32 outputs) has 1,056."""
    shapes = pri3d_shapes("resnet18", outputs=32)
    state = {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}
    torch.save({"model": state}, tmp_path / "r18.pth")
    weights = read_weights(tmp_path / "r18.pth")
    unet = load_unet(weights.part("unet."), "r18.pth")
    assert sum(p.numel() for p in unet.parameters()) + 1_056 == 20_667_808
    assert unet.settings == {"encoder": "resnet18", "width": 1.0, "feature_channels": 32}


def test_the_drawn_decoder_is_that_of_a_pretraining(tmp_path):
    params = small_params(model={"feature_channels": None})
    own = ContrastiveModel(params.model, Variant(losses=[]), seed=7).unet
    torch.save(filled(torchvision_shapes("resnet18", base=8)), tmp_path / "resnet18.pth")
    assert convert(tmp_path / "resnet18.pth", tmp_path / "a-s7", "--decoder-seed", 7) == 0
    assert_equal(load_pretrained(tmp_path / "a-s7").decoder.state_dict(), own.decoder.state_dict())


def test_tensors_that_do_not_fit_are_named(released, tmp_path, capsys):
    _, model = released

    def refused(state: dict[str, Tensor], target: str = "out") -> str:
        torch.save({"model": state}, tmp_path / "bad.pth")
        assert convert(tmp_path / "bad.pth", tmp_path / target) == 1
        assert not (tmp_path / target).exists()
        return capsys.readouterr().err

    missing = {k: v for k, v in model.items() if k != "backbone.decoder.up2.conv1_2.weight"}
    text = refused(missing)
    assert "bad.pth" in text
    assert "1 missing: decoder.blocks.1.branch_a.3.weight" in text
    assert "1 unexpected: encoder.layer1.0.se.weight" in refused(
        {**model, "backbone.encoder.layer1.0.se.weight": torch.ones(1)}
    )
    assert "of another shape: decoder.blocks.3.branch_b.0.weight" in refused(
        {**model, "backbone.decoder.up4.conv2.weight": torch.ones(16, 16, 3, 3)}
    )
    assert "1 tensors of no network that is known here: backbone.fpn.weight" in refused(
        {**model, "backbone.fpn.weight": torch.ones(1)}
    )
    assert "missing: merge.1.0.first.convolution.weight" in refused(
        {k: v for k, v in model.items() if k != "backbone3d.block6.0.conv1.kernel"}
    )
    assert "its 3D network has no stem" in refused(
        {**model, "backbone3d.conv0p1s1.kernel": model["w2d.bias"]}
    )
    assert "1 missing: bias" in refused({k: v for k, v in model.items() if k != "w3d.bias"})
    assert "1 missing: weight" in refused({k: v for k, v in model.items() if k != "headnet.weight"})
    encoder = {k: v for k, v in model.items() if not k.endswith("layer4.2.conv3.weight")}
    assert "1 missing: layer4.2.conv3.weight" in refused(encoder, "out.pkl")
    block = {k: v for k, v in model.items() if "layer3.5" not in k}
    assert "no ResNet that is known here: (3, 4, 5, 3) blocks" in refused(block, "out.pth")


def test_unusable_files_and_names(released, tmp_path, capsys):
    file, _ = released

    def refused(*arguments: object) -> str:
        assert convert(*arguments) == 1
        return capsys.readouterr().err

    assert "none.pth: no such checkpoint file" in refused(tmp_path / "none.pth", tmp_path / "a")
    assert "model.safetensors: no such" in refused(tmp_path, tmp_path / "a")
    torch.save({"model": {"layers": [1, 2]}}, tmp_path / "odd.pth")
    assert "these are none: ['layers']" in refused(tmp_path / "odd.pth", tmp_path / "a")
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    assert "holds no weights, but list" in refused(tmp_path / "list.pth", tmp_path / "a")
    torch.save({"transformer.weight": torch.ones(1)}, tmp_path / "vit.pth")
    assert "no known checkpoint: expected names" in refused(tmp_path / "vit.pth", tmp_path / "a")
    assert "unknown ending" in refused(file, tmp_path / "a.onnx")
    assert "checkpoint5.pth: exists" in refused(file, file)
    assert "leave out --decoder-seed" in refused(file, tmp_path / "a", "--decoder-seed", 0)
    torch.save(filled(torchvision_shapes("resnet18", base=8)), tmp_path / "resnet18.pth")
    assert "holds an encoder alone" in refused(tmp_path / "resnet18.pth", tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_converted_file_is_no_init_checkpoint_before(released):
    """The error of a file in the wrong format says what reads it."""
    with pytest.raises(Exception, match=r"holds .*'model'.*convert-checkpoint"):
        load_torchvision_encoder(released[0], UNet2D("resnet50", width=0.125))
