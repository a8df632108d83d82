"""Training on full disks, damaged files and folders that go away: named, and done again rightly."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline import layout
from pipeline.__main__ import main
from pipeline.data.pairs import PairBatches
from tests.artifacts.bad_scenes import flip_middle
from tests.artifacts.test_bad_output import disk
from tests.room import small_params

OPTIONS = ["--variant", "view", "--seed", "0", "--device", "cpu", "--threads", "1"]
PRETRAIN, FINETUNE = ["pretrain", *OPTIONS], ["finetune", *OPTIONS]
MODEL = layout.pretrained("boxes", "view", 0) / "model.safetensors"
ARTIFACTS = layout.artifacts_dir("boxes")


@pytest.fixture
def undisturbed(enter) -> bytes:
    """Weights of a run without any trouble, whose result is removed again."""
    enter(small_params())
    assert main(PRETRAIN) == 0
    weights = MODEL.read_bytes()
    shutil.rmtree("models")
    return weights


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_full_disk_while_writing_a_checkpoint(undisturbed, tmp_path, capsys):
    """Of two checkpoints, weights and momenta each, the first one fits."""
    kilobytes = 3 * len(undisturbed) // 1024
    with disk(tmp_path / "checkpoints", f"size={kilobytes}k") as checkpoints:
        assert main(PRETRAIN) == 1
        error = capsys.readouterr().err
        assert re.search(r"6\.safetensors: cannot be written: No space left.*; make room", error)
        assert "Traceback" not in error
        left = {"step-000000003.safetensors", layout.CODE_OF_CHECKPOINTS}
        assert names(checkpoints) == left
        assert not Path("models").exists()
        subprocess.run(["mount", "-o", "remount,size=64m", str(checkpoints)], check=True)
        assert main(PRETRAIN) == 0
        assert "resumed after step 3" in capsys.readouterr().out
    assert MODEL.read_bytes() == undisturbed


def test_full_disk_while_storing_the_result(undisturbed, tmp_path, capsys, monkeypatch):
    with disk(tmp_path / "models", f"size={len(undisturbed) // 2048}k") as models:
        assert main(PRETRAIN) == 1
        error = capsys.readouterr().err
        assert re.search(r"model\.safetensors: cannot be written: No space left", error)
        assert names(models) == set()
        subprocess.run(["mount", "-o", "remount,size=64m", str(models)], check=True)
        # The last checkpoint was kept: there is nothing left to train.
        monkeypatch.setattr("pipeline.training.pretrain.batch_loss", None)
        assert main(PRETRAIN) == 0
        assert MODEL.read_bytes() == undisturbed


@pytest.mark.parametrize("n_bytes", [0, 5, 300, -20])
def test_truncated_weights_are_named_and_not_used(enter, capsys, n_bytes):
    enter(small_params())
    assert main(PRETRAIN) == 0
    MODEL.write_bytes(MODEL.read_bytes()[:n_bytes])
    assert main(FINETUNE) == 1
    error = capsys.readouterr().err
    assert f"{MODEL}: not a readable checkpoint" in error
    assert f"`dvc checkout {MODEL.parent}` brings it back" in error
    assert not Path("results").exists()


@pytest.mark.parametrize("kind", ["frames", "voxels", "correspondences", "overlaps"])
def test_a_damaged_artifact_is_named_and_not_trained_on(undisturbed, capsys, kind):
    command = ["pretrain", "--variant", "geo", *OPTIONS[2:]]
    file = layout.artifact(ARTIFACTS, "room_b", kind)
    good = file.read_bytes()
    file.write_bytes(flip_middle(good) if kind != "overlaps" else good[:-1])
    assert main(command) == 1
    error = capsys.readouterr().err
    assert f"{file}: " in error
    assert "`snakemake --cores 2 all_artifacts` makes it again" in error
    assert not Path("models").exists()
    file.write_bytes(good)
    assert main(command) == 0


def test_the_command_that_remakes_it_can_be_pasted(tmp_path):
    from pipeline.schemas import ArtifactError, open_artifact

    file = tmp_path / "a $(touch x) 'b'" / "frames.parquet"
    file.parent.mkdir()
    file.write_bytes(b"damaged")
    with pytest.raises(ArtifactError) as error:
        open_artifact(file, "frames")
    command = re.search(r"`(rm .*) && snakemake .*` makes it again", str(error.value))
    assert command is not None
    assert shlex.split(command[1]) == ["rm", str(file)]


def test_artifacts_that_go_away_during_training(undisturbed, tmp_path, capsys, monkeypatch):
    draw = PairBatches.__getitem__

    def vanish(self, number):
        if number == 4 and ARTIFACTS.exists():
            ARTIFACTS.rename(tmp_path / "away")
            # As for a process that has not read the scene before.
            monkeypatch.undo()
            monkeypatch.chdir(tmp_path)
            self.scenes = {
                name: type(scene)(ARTIFACTS, name, type(scene._cache)())
                for name, scene in self.scenes.items()
            }
        return draw(self, number)

    monkeypatch.setattr(PairBatches, "__getitem__", vanish)
    assert main(PRETRAIN) == 1
    assert re.search(r"\.parquet: missing; `snakemake .*` makes it", capsys.readouterr().err)
    assert not Path("models").exists()
    (tmp_path / "away").rename(ARTIFACTS)
    assert main(PRETRAIN) == 0
    assert "resumed after step 3" in capsys.readouterr().out
    assert MODEL.read_bytes() == undisturbed
