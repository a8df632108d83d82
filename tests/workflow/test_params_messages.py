"""A params.yaml that cannot be used: one message, from every entry point, before any job starts."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.workflow.conftest import REPOSITORY, Workspace

GOOD = (REPOSITORY / "presets/smoke.yaml").read_text()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A clone in which nothing was made yet."""
    return Workspace(tmp_path_factory.mktemp("clone"))


def edited(change: Callable[[dict], object]) -> str:
    params = yaml.safe_load(GOOD)
    change(params)
    return yaml.safe_dump(params)


WRONG_TYPE = edited(lambda params: params["dataset"].update(frame_stride="many"))
UNKNOWN_KEY = edited(lambda params: params["finetuning"].update(epoch=3))
MISSING_SECTION = edited(lambda params: params.pop("labelled"))
OUT_OF_RANGE = edited(lambda params: params["pretraining"].update(momentum=1.5))
UNEQUAL_PARTS = edited(lambda p: p["pretraining"].update(batch_pairs=4, accumulation=3))
GIVEN_TWICE = GOOD + "\nseeds: [5]\n"
NOT_YAML = "seeds: [0\nrows: x\n"

#: Entry point -> command. `--cores` so that a plan without a mistake would really start.
SNAKEMAKE = ("snakemake", "--cores", "1", "all_tables")
DRY_RUN = ("snakemake", "--dry-run")
DVC = ("dvc", "repro")
STAGE = ("python", "-m", "pipeline", "pretrain", "--variant", "view", "--seed", "0")
CHECK = ("python", "-m", "pipeline", "check-params")

#: File, command and what the message says: key, value and what is allowed. What DVC finds before
#: it runs a stage, a section that is not there or no YAML, it tells in its own words.
CASES = {
    "wrong type, snakemake": (
        WRONG_TYPE, SNAKEMAKE, r"  dataset\.frame_stride: .*valid integer.* \(is: 'many'\); need"),
    "given twice, snakemake -n": (
        GIVEN_TWICE, DRY_RUN, r'not valid YAML: line \d+, column 1: found duplicate key "seeds"\n'),
    "out of range, dvc": (
        OUT_OF_RANGE, DVC, r"  pretraining\.momentum: .* less than or equal to 1 \(is: 1\.5\)"),
    "unequal parts, check-params": (
        UNEQUAL_PARTS, CHECK, r"  pretraining: .*batch_pairs \(4\) must be a multiple of accumul"),
    "missing section, dvc": (MISSING_SECTION, DVC, r"'labelled' are missing from 'params\.yaml'"),
    "not YAML, dvc": (NOT_YAML, DVC, r"params\.yaml.*expected ',' or '\]'"),
    "empty, check-params": ("", CHECK, r"  \(file\): holds nothing; needed: seeds, dataset, "),
    "unknown key, a stage": (
        UNKNOWN_KEY, STAGE, r"  finetuning\.epoch: unknown key \(is: 3\); known: .*\bepochs\b"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_message(clone: Workspace, case: str) -> None:
    text, command, message = CASES[case]
    (clone.root / "params.yaml").write_text(text)
    before = made(clone.root)
    result = clone.call(*command, check=False)
    assert result.returncode != 0
    assert len(re.findall(message, result.stdout, re.DOTALL)) == 1, result.stdout
    assert "Traceback" not in result.stdout
    assert 'File "' not in result.stdout  # nor lines of Snakemake's shorter ones
    assert made(clone.root) == before
    assert not list((clone.root / ".snakemake/locks").glob("*"))


def made(root: Path) -> set[str]:
    """Results and logs of jobs."""
    folders = ("data", "manifests", "models", "results", ".stamps", "logs")
    return {str(path) for folder in folders for path in (root / folder).rglob("*")}
