"""dvc.lock on a full disk: DVC writes into it instead of replacing it, and leaves what fits."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.artifacts.test_bad_output import disk
from tests.workflow.conftest import DVC, SNAKEMAKE, Workspace

# The first run may be this test's.
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
PAGE = 4096
#: Commands whose work must not be done again.
WORK = {"make-room", "extract-frames", "oversegment", "find-overlaps", "pretrain", "finetune"}


def work(executed: Counter[str]) -> set[str]:
    return executed.keys() & WORK


def test_a_damaged_lock_is_named_and_nothing_is_trained_again(
    finished: Workspace, tmp_path: Path
) -> None:
    lock = finished.root / "dvc.lock"
    whole = yaml.safe_load(lock.read_text())
    first = {name: whole["stages"][name] for name in ("code", "artifacts@smoke")}
    short = yaml.safe_dump({**whole, "stages": first}, sort_keys=False).encode()
    pages = -(-len(short) // PAGE)
    with disk(tmp_path / "disk", f"size={pages * PAGE}") as folder:
        (folder / lock.name).write_bytes(short)
        lock.unlink()
        lock.symlink_to(folder / lock.name)
        result = finished.call(*DVC, check=False)
        assert result.returncode
        assert "No space left on device" in result.stdout
        left = lock.read_bytes()
        lock.unlink()
    # Neither what was there nor what was to be there, whether or not it can be read.
    assert len(left) == pages * PAGE

    lock.write_bytes(left[: left.rindex(b":")])
    planned = finished.call(*SNAKEMAKE, check=False)
    assert planned.returncode
    assert "error: dvc.lock is damaged" in planned.stdout
    assert "`git checkout dvc.lock` brings back" in planned.stdout
    assert "Traceback" not in planned.stdout

    lock.unlink()
    model = next((finished.root / "models/smoke/pretrained").glob("view-*/model.safetensors"))
    weights = model.read_bytes()
    model.write_bytes(weights[: len(weights) // 2])
    assert work(finished.count(*SNAKEMAKE)) == set()
    assert model.read_bytes() == weights
    assert work(finished.count(*DVC)) == set()
    assert yaml.safe_load(lock.read_text()) == whole
