"""`write-fingerprints`: which edits change the fingerprint of which stages."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import layout
from pipeline.__main__ import COMMANDS
from pipeline.stages.common import StageError
from pipeline.stages.write_fingerprints import (
    DVC_STAGES,
    PACKAGE,
    STAGES,
    _essence,
    check_code,
    fingerprint,
)
from pipeline.yaml_file import read_yaml


class Copy:
    """The package in a temporary folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.package = root / "pipeline"
        shutil.copytree(PACKAGE, self.package, ignore=shutil.ignore_patterns("__pycache__"))
        self.write()
        self.files = {stage: root / layout.fingerprint(stage) for stage in STAGES}

    def write(self) -> None:
        command = [sys.executable, "-m", "pipeline", "write-fingerprints"]
        subprocess.run(command, cwd=self.root, check=True)

    def contents(self) -> dict[str, dict[str, str]]:
        """Stage -> its fingerprint as stored."""
        return {stage: json.loads(file.read_text()) for stage, file in self.files.items()}

    def rewritten(self) -> set[str]:
        """Stages whose file the command writes anew."""
        before = {stage: file.stat().st_ino for stage, file in self.files.items()}
        self.write()
        return {stage for stage, file in self.files.items() if file.stat().st_ino != before[stage]}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("copy"))


def test_closures() -> None:
    assert "pipeline.geometry.camera" in fingerprint("find_overlaps")  # through others
    assert "pipeline.scenes.recording" in fingerprint("make_room")  # imported in a function
    pretrain = fingerprint("pretrain")
    assert {"pipeline.stages.pretrain", "pipeline.losses.info_nce"} <= pretrain.keys()
    others = {"pipeline.stages.finetune", "pipeline.geometry.oversegmentation", "pipeline.__main__"}
    assert not others & pretrain.keys()
    # Artifacts that a corrected reader makes with the same content retrain nothing.
    assert not {"pipeline.readers.sens", "pipeline.readers"} & pretrain.keys()


def test_every_stage_of_dvc_depends_on_its_code() -> None:
    stages = read_yaml(PACKAGE.parent / "dvc.yaml")["stages"]
    expected = {"artifacts": set(STAGES) - set(DVC_STAGES)}
    for name in stages.keys() - {"code", "artifacts"}:
        expected[name] = {COMMANDS[stages[name]["cmd"].split()[3]][0]}
    assert set.union(*expected.values()) == set(STAGES)
    for name, modules in expected.items():
        found = {dep for dep in stages[name]["deps"] if dep.startswith("fingerprints/")}
        assert found == {str(layout.fingerprint(module)) for module in modules}, name


def test_comments_format_and_docstrings_do_not_count(copy: Copy) -> None:
    """Every module is written anew: one style, no comments, other docstrings."""
    for file in copy.package.rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        for node in ast.walk(tree):
            if isinstance(node, documented) and ast.get_docstring(node) is not None:
                node.body[0] = ast.Expr(ast.Constant("Another text."))
        file.write_text(f'{ast.unparse(tree)}\n# The end.\n"""Of no use."""\n', encoding="utf-8")
    assert copy.rewritten() == set()


#: File -> stages that import it.
EDITED = {
    "losses/info_nce.py": {"pretrain"},
    "evaluation/metrics.py": {"finetune", "predict_mean"},
    "geometry/overlap_kernels.py": {"find_overlaps"},
    "reporting/reference_tables.json": {"make_tables"},  # data of pipeline.reporting.reference
    "atomic.py": set(STAGES),
    "stages/dvc_bridge.py": set(),  # how stages are run, not what they do
}


def test_an_edit_counts_where_it_is_imported(copy: Copy) -> None:
    before = copy.contents()
    for file in EDITED:
        with (copy.package / file).open("a") as edited:
            edited.write("\n" if file.endswith(".json") else "\nEDITED = 1\n")
    copy.write()
    expected: dict[str, set[str]] = {stage: set() for stage in STAGES}
    for file, stages in EDITED.items():
        name = file.replace("reference_tables.json", "reference").removesuffix(".py")
        for stage in stages:
            expected[stage].add(f"pipeline.{name.replace('/', '.')}")
    found = {
        stage: {name for name, value in content.items() if before[stage][name] != value}
        for stage, content in copy.contents().items()
    }
    assert found == expected


def test_values_of_other_types_differ() -> None:
    values = ("1", "1.0", "True", "'1'", "b'1'", "None", "[]", "''", "()")
    found = {repr(_essence(ast.parse(f"x = {value}"))) for value in values}
    assert len(found) == len(values)


def test_a_run_stops_at_code_edited_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = layout.fingerprint("pretrain")
    file.parent.mkdir()
    file.write_text(json.dumps(fingerprint("pretrain") | {"pipeline.losses.info_nce": "before"}))
    check_code("pretrain")  # by hand, an edit needs no permission
    monkeypatch.setenv("DVC_STAGE", "pretrain@rooms-view-0")
    with pytest.raises(StageError, match=r"^pipeline\.losses\.info_nce: edited after this run"):
        check_code("pretrain")
    file.write_text(json.dumps(fingerprint("pretrain")))
    check_code("pretrain")
