"""`pretrain --start`: the second stage writes a row of its own, which can be finetuned."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.distributed.run import get_args_parser

from pipeline import layout
from pipeline.__main__ import main
from pipeline.stages import launch, training_run
from tests.conftest import REPOSITORY
from tests.room import MOCO, small_params, two_stages, write_params

OPTIONS = ["--seed", "0", "--device", "cpu", "--threads", "1"]
FIRST = ["pretrain", "--variant", "view", *OPTIONS]
SECOND = ["pretrain", "--start", "view", "--variant", "set", *OPTIONS]
START, RESULT = (layout.pretrained("boxes", row, 0) for row in ("view", "view_then_set"))
SCRATCH = layout.checkpoint_dir("continue_pretraining", "boxes", "view-set", 0)


@pytest.fixture
def started(enter):
    """A workspace in which `view` is pretrained."""
    enter(two_stages(["view"], ["set", "geo"]))
    assert main(FIRST) == 0


def test_a_row_of_its_own_that_can_be_finetuned(started, capsys):
    before = (START / "model.safetensors").read_bytes()
    assert main(SECOND) == 0
    metadata = json.loads((RESULT / "metadata.json").read_text())
    assert (metadata["start"], metadata["variant"], metadata["steps"]) == ("view", "set", 3)
    assert (metadata["losses"], metadata["drawn"]) == (["set"], [])
    assert metadata["params"]["variants.set"]["sets"]["source"] == 0.05
    assert metadata["params"]["second_stage.learning_rate"] == 0.01
    assert "model" not in metadata["params"]
    assert metadata["model"] == json.loads((START / "metadata.json").read_text())["model"]
    first, second = (load_file(folder / "model.safetensors") for folder in (START, RESULT))
    assert first.keys() == second.keys()
    assert not torch.equal(first["head_view.weight"], second["head_view.weight"])
    assert (START / "model.safetensors").read_bytes() == before
    assert not SCRATCH.exists()
    assert "pretrain view_then_set s0" in capsys.readouterr().out
    assert main(["finetune", "--variant", "view_then_set", *OPTIONS]) == 0
    metrics = layout.finetune_results("boxes", "view_then_set", 0) / "metrics.json"
    assert json.loads(metrics.read_text())["variant"] == "view_then_set"


def test_options_of_sets_matter_to_the_stage_that_has_sets(started):
    """What decides a result names its checkpoints' folder."""

    def folders(**sets):
        params = two_stages(["view"], ["set"], variants={"set": {"losses": ["set"], "sets": sets}})
        return {
            stage: training_run.checkpoint_folder(
                item, training_run.used_params(params, item), [START / "model.safetensors"]
            )
            for stage, item in {
                "first": training_run.Item("pretrain", "boxes", {"variant": "view"}, 0),
                "second": training_run.Item(
                    "continue_pretraining", "boxes", {"start": "view", "variant": "set"}, 0
                ),
            }.items()
        }

    one, other = folders(renormalise=False), folders(renormalise=True)
    assert one["first"] == other["first"]
    assert one["second"] != other["second"]


def test_options_of_a_variant_make_no_other_stale(monkeypatch):
    """What an item uses is what dvc.yaml lists for it, so DVC trains again the same ones."""
    monkeypatch.chdir(REPOSITORY)
    items = {
        row: training_run.Item(
            "continue_pretraining" if start else "pretrain",
            "boxes",
            {"start": start, "variant": variant} if start else {"variant": variant},
            0,
        )
        for row in ("view", "depth", "moco", "view_then_set", "view_then_view")
        for start, _, variant in [row.rpartition("_then_")]
    }
    before = small_params()
    for variant, options, stale in (
        ("moco", {"losses": ["moco"], "moco": {**MOCO, "queue": 32}}, {"moco"}),
        ("depth", {"losses": ["depth"], "depth": {"weight": 2}}, {"depth"}),
        ("set", {"losses": ["set"], "sets": {"source": 0.01}}, {"view_then_set"}),
    ):
        after = small_params(variants={variant: options})
        used = training_run.used_params
        changed = {row for row, item in items.items() if used(before, item) != used(after, item)}
        assert changed == stale


def test_checkpoints_are_of_one_start(started, monkeypatch, capsys):
    """A start with other weights is another training."""

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(training_run, "check_unchanged", stop)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            main(SECOND)
    assert "resumed after step 3" in capsys.readouterr().out
    state = load_file(START / "model.safetensors")
    state["head_view.weight"] += 1
    save_file(state, START / "model.safetensors")
    with pytest.raises(KeyboardInterrupt):
        main(SECOND)
    assert "resumed" not in capsys.readouterr().out
    assert len(list(SCRATCH.iterdir())) == 2


def test_new_parts_are_named(enter):
    """From random weights: the paper's "solely with set-InfoNCE"."""
    enter(two_stages(["none"], ["set"]))
    assert main(["pretrain", "--variant", "none", *OPTIONS]) == 0
    assert main(["pretrain", "--start", "none", "--variant", "set", *OPTIONS]) == 0
    folder = layout.pretrained("boxes", "none_then_set", 0)
    assert json.loads((folder / "metadata.json").read_text())["drawn"] == ["head_view"]


def test_a_start_that_was_left_out(enter, capsys):
    params = two_stages(["view"], ["set"])
    content = params.model_dump()
    enter(params)
    assert content["variants"]["imagenet"]["init"] == "checkpoint"
    assert main(["pretrain", "--variant", "imagenet", *OPTIONS]) == 0
    assert main(["pretrain", "--start", "imagenet", "--variant", "set", *OPTIONS]) == 0
    folder = layout.pretrained("boxes", "imagenet_then_set", 0)
    assert json.loads((folder / "metadata.json").read_text())["skipped"] == "no checkpoint given"


def test_errors_name_the_cause(enter, capsys):
    enter(two_stages(["view"], ["set", "geo"]))
    assert main(SECOND) == 1
    assert "view-s0/metadata.json: No such file or directory; was it pretrained?" in (
        capsys.readouterr().err
    )
    for arguments in (["--start", "wrong", "--variant", "set"], ["--variant", "view_then_set"]):
        assert main(["pretrain", *arguments, *OPTIONS]) == 1
        assert f"no variant '{arguments[1]}' to pretrain; known: " in capsys.readouterr().err
    assert main(FIRST) == 0
    assert main(["pretrain", "--start", "view", "--variant", "geo", *OPTIONS]) == 1
    assert "has no 3D network for GEO to go on with" in capsys.readouterr().err
    own = {"set": {"losses": ["set"], "sets": {"source": 0.02}}}
    write_params(two_stages(["view"], ["set"], variants=own))
    assert main(SECOND) == 1
    assert "no sets of source 0.02; it has 0.01, 0.05" in capsys.readouterr().err
    layout.manifest("boxes", "sets").unlink()
    assert main(SECOND) == 1
    assert "manifests/boxes/sets.json: No such file" in capsys.readouterr().err


def test_torchrun_gets_the_start(started, monkeypatch):
    launched = []
    monkeypatch.setattr(launch, "run", lambda plan, arguments: launched.append(arguments) or True)
    write_params(two_stages(["view"], ["set"], pretraining={"accumulation": 2}))
    main([*SECOND, "--processes", "2"])
    assert launched == [["pretrain", "--start=view", "--variant=set", "--seed=0", "--device=cpu"]]
    # Its own parser takes them for the training's.
    command = launch.Launch((), 2).command(launched[0])
    options = command[command.index("torch.distributed.run") + 1 :]
    parsed = get_args_parser().parse_args(options)
    assert (parsed.module, parsed.training_script) == (True, "pipeline")
    assert parsed.training_script_args == launched[0]


@pytest.mark.long
def test_two_processes_make_the_same_networks(enter):
    """Really by torchrun; sets are those of each process's own part of a step."""
    enter(two_stages(["view"], ["set"], pretraining={"accumulation": 2}))
    assert main(FIRST) == 0
    stored = []
    for processes in ("1", "2"):
        assert main([*SECOND, "--processes", processes]) == 0
        stored.append(load_file(RESULT / "model.safetensors"))
    for name, tensor in stored[0].items():
        torch.testing.assert_close(tensor, stored[1][name], rtol=1e-5, atol=1e-5, msg=name)
