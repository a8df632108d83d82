"""Scene names that would leave the data folder, or that a shell would take for a command.

Symbolic links are allowed everywhere: users link their datasets into data/raw, and whoever may put
a link there may read what it points to.
"""

from pathlib import Path

import pytest
import yaml

from pipeline import layout
from pipeline.__main__ import main
from pipeline.config import PARAMS_VARIABLE, Params
from pipeline.stages.common import StageError
from pipeline.stages.scene_lists import check_plannable, resolve_split, scene_names
from tests.artifacts import bad_scenes as bad
from tests.artifacts.bad_scenes import RAW, SCENE
from tests.workflow.conftest import Workspace

#: Not the name of one folder, or of one that no command can be given.
REFUSED = ("", ".", "..", "../x", "/etc", "a/../..", "a/b", "a\\b", "-x", "--out=x",
           "a\nb", "a\rb", "a\tb", "a\0b", "\x1b[2J")  # fmt: skip
#: Odd, but the names of folders.
ALLOWED = (
    "$(touch x)",
    "`touch x`",
    "a;touch x",
    "{scene}",
    "{wildcards.x}",
    "%s",
    "*",
    "~",
    "räum 1",
)


def params(**dataset: object) -> Params:
    """Params of a clone without raw data, where no folder says which scenes there are."""
    found = bad.params(Path("nowhere"), "scannet")
    return found.model_copy(update={"dataset": found.dataset.model_copy(update=dataset)})


@pytest.mark.parametrize("name", REFUSED, ids=repr)
def test_lists_cannot_leave_the_data_folder(name: str) -> None:
    with pytest.raises(StageError, match=r"dataset\.scenes: .*is no scene name"):
        scene_names(params(scenes=["room_a", name]))
    with pytest.raises(StageError, match=r"dataset\.validation_scenes: .*is no scene name"):
        resolve_split(params(scenes=["room_a"], validation_scenes=[name]))


@pytest.mark.parametrize(
    "name", [name for name in REFUSED if name and not set(name) & {*"\n\r"}], ids=repr
)
def test_nor_can_files_with_lists(name: str, tmp_path: Path) -> None:
    """Where a line break ends a name, and empty lines are none."""
    file = tmp_path / "scenes.txt"
    file.write_text(f"room_a\n{name}\n")
    with pytest.raises(StageError, match=r"dataset\.scenes: .*is no scene name"):
        scene_names(params(scenes=str(file)))


@pytest.mark.parametrize("name", ALLOWED)
def test_odd_names_are_names(name: str) -> None:
    assert scene_names(params(scenes=[name])) == [name]
    file = layout.artifact(layout.artifacts_dir("boxes"), name, "frames")
    assert file.parts[:3] == ("data", "artifacts", "boxes")


def test_a_list_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "scenes.txt").write_bytes(b"room\xff\n")
    with pytest.raises(StageError, match=r"dataset\.scenes: cannot read the scene list .*scenes"):
        scene_names(params(scenes=str(tmp_path / "scenes.txt")))
    with pytest.raises(StageError, match=r"dataset\.scenes: cannot read the scene list"):
        scene_names(params(scenes="scenes\0.txt"))


@pytest.mark.parametrize("command", ["extract-frames", "oversegment", "find-overlaps"])
def test_commands_refuse_them_too(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(params().model_dump(mode="json")))
    monkeypatch.delenv(PARAMS_VARIABLE, raising=False)
    for name in ("../x", "..", "a/b"):
        assert main([command, name]) == 1
        assert "is no scene name" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_linked_scenes_are_read(tmp_path: Path) -> None:
    """A dataset elsewhere, and a scene elsewhere."""
    bad.write_recording(tmp_path / "elsewhere" / SCENE)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / SCENE).symlink_to(tmp_path / "elsewhere" / SCENE)
    (tmp_path / "linked").symlink_to(tmp_path / "raw")
    dataset = bad.params(tmp_path / "linked", "scannet")
    assert scene_names(dataset) == [SCENE]


@pytest.mark.parametrize("name", ["$(touch x)", "`touch x`", 'a"b', "it's", "a\\b", "a,b", "{a}"])
def test_names_that_cannot_be_submitted(name: str) -> None:
    with pytest.raises(StageError, match="cannot submit jobs"):
        check_plannable(name, submitted=True)


def test_names_that_cannot_be_planned() -> None:
    assert check_plannable("$(touch x) 'y'", submitted=False) == "$(touch x) 'y'"
    with pytest.raises(StageError, match=r"cannot plan jobs for a name with \{ \}"):
        check_plannable("{wildcards.scene}", submitted=False)


def test_plain_names_can_be_submitted() -> None:
    for name in ("scene0000_00", "räum 1 (z)", "a;b", "a&b", "a|b", "*"):
        assert check_plannable(name, submitted=True) == name


def test_no_command_runs_on_the_login_node(tmp_path: Path) -> None:
    """Snakemake's Slurm plugin gives `sbatch --wrap="... scene=NAME ..."` to a shell."""
    workspace = Workspace(tmp_path)
    sbatch = tmp_path / "bin/sbatch"
    sbatch.write_text("#!/bin/sh\nexit 1\n")
    sbatch.chmod(0o755)
    scene = tmp_path / RAW / "$(touch x)"
    bad.write_recording(scene)
    for file in scene.iterdir():
        file.rename(scene / file.name.replace(SCENE, scene.name))
    content = bad.params(Path(RAW), "scannet").model_dump(mode="json")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    target = layout.artifact(layout.artifacts_dir("boxes"), scene.name, "overlaps")
    command = ("snakemake", "--executor", "slurm", "--jobs", "1", "--slurm-no-account")
    result = workspace.call(*command, "--", str(target), check=False)
    assert "cannot submit jobs for a name with $; rename its folder" in result.stdout
    assert "Traceback" not in result.stdout
    assert not (tmp_path / "x").exists()
