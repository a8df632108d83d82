"""A clone in miniature, in which snakemake and dvc really run and every command is counted."""

import copy
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
#: What the workflow reads from its folder, the package with its compiled kernels among it; results
#: of the developer's own runs stay behind.
CLONED = (
    *("Snakefile", "dvc.yaml", ".dvcignore", ".gitignore"),
    *("rules", "profiles", "presets", "pipeline"),
)


class Workspace:
    """A clone in a temporary folder.

    Attributes:
        root: the folder.
        first_run: commands that making everything took.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        for name in CLONED:
            source = REPOSITORY / name
            if source.is_dir():
                shutil.copytree(source, root / name)
            else:
                shutil.copy(source, root / name)
        (root / ".dvc").mkdir()
        shutil.copy(REPOSITORY / ".dvc/config", root / ".dvc/config")
        self.trace = root / "trace.txt"
        self._trace_python()
        self.call("git", "init", "--quiet")
        self.first_run: Counter[str] = Counter()

    def _trace_python(self) -> None:
        """Put a `python` first on the PATH that notes its arguments: what really ran, counted."""
        wrapper = self.root / "bin" / "python"
        wrapper.parent.mkdir(exist_ok=True)
        note = f'echo "$@" >> "{self.trace}"'
        wrapper.write_text(f'#!/bin/sh\n{note}\nexec "{sys.executable}" "$@"\n')
        wrapper.chmod(0o755)
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(self.root),  # its own package, not the installed one
            "PATH": os.pathsep.join(
                [str(wrapper.parent), str(Path(sys.executable).parent), os.environ["PATH"]]
            ),
        }

    def copy(self, root: Path) -> "Workspace":
        """The clone as it is, in another folder."""
        shutil.copytree(self.root, root, symlinks=True)
        return self.at(root)

    def at(self, root: Path) -> "Workspace":
        """Another clone, that is in its folder already."""
        other = copy.copy(self)
        other.root, other.trace = root, root / "trace.txt"
        other._trace_python()
        other.environment = self.environment | {
            name: other.environment[name] for name in ("PATH", "PYTHONPATH")
        }
        return other

    def call(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the clone; its whole output is shown if it fails."""
        result = subprocess.run(
            command, cwd=self.root, env=self.environment, text=True, timeout=1200,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert not check or result.returncode == 0, result.stdout[-6000:]
        return result

    def calls(self, *command: str) -> Counter[str]:
        """Run a command and count the pipeline's that it executed: `run-stage pretrain@...`."""
        self.trace.write_text("")
        self.call(*command)
        lines = (line.split() for line in self.trace.read_text().splitlines())
        return Counter(" ".join(words[2:4]) for words in lines if "pipeline" in words)

    def count(self, *command: str) -> Counter[str]:
        """Run a command and count what it made: `pretrain`, `finetune`, ..., no bookkeeping."""
        called = self.calls(*command)
        made: Counter[str] = Counter()
        for line, number in called.items():
            if (name := line.split()[0]) not in BOOKKEEPING:
                made[name] += number
        return made

    def params(self) -> dict:
        """The params as they are."""
        return yaml.safe_load((self.root / "params.yaml").read_text())

    def edit(self, key: str, value: object) -> None:
        """Set a dotted key of params.yaml."""
        params = self.params()
        section = params
        *parents, last = key.split(".")
        for parent in parents:
            section = section[parent]
        section[last] = value
        (self.root / "params.yaml").write_text(yaml.safe_dump(params))

    def edit_rows(self, *rows: str) -> None:
        """Train and tabulate only these variants, without a second stage."""
        self.edit("first_stage", list(rows))
        self.edit("rows", list(rows))
        self.edit("segmentation_rows", [])
        self.edit("second_stage.starts", [])


#: Commands around a stage: what runs it for Snakemake, and what looks at the code.
BOOKKEEPING = {"run-stage", "write-fingerprints"}
SNAKEMAKE = ("snakemake", "--cores", "2", "all_tables")
DVC = ("dvc", "repro")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A clone in which `snakemake all_tables` has run to its end on three tiny rooms."""
    workspace = Workspace(tmp_path_factory.mktemp("clone"))
    params = yaml.safe_load((REPOSITORY / "presets/smoke.yaml").read_text())
    params["seeds"] = [0]
    params["first_stage"] = params["rows"] = ["none", "view"]
    params["second_stage"] |= {"starts": [], "steps": 2}
    params["rooms"] |= {"n_train": 2, "n_validation": 1, "frames_per_room": 6}
    params["pretraining"]["steps"] = 2
    params["finetuning"]["protocols"] = ["frozen"]
    params["finetuning"]["steps"]["frozen"] = 2
    (workspace.root / "params.yaml").write_text(yaml.safe_dump(params))
    workspace.first_run = workspace.count(*SNAKEMAKE)
    return workspace
