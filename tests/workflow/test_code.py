"""Edits of the code: what runs again, from either tool, and what `dvc commit` accepts.

As in test_reruns.py, every test starts from and leaves a workspace that is complete.
"""

from collections import Counter
from pathlib import Path

import pytest

from tests.workflow.conftest import DVC, SNAKEMAKE, Workspace

pytestmark = pytest.mark.timeout(900)
N_SCENES = 3


def edit(workspace: Workspace, module: str, text: str = "EDITED = 1") -> Path:
    """Add a line to a module of the clone's own package."""
    file = workspace.root / "pipeline" / module
    with file.open("a") as edited:
        edited.write(f"\n{text}\n")
    return file


def test_an_edit_from_dvc(finished: Workspace) -> None:
    edit(finished, "reporting/markdown.py")
    assert finished.count(*DVC) == Counter({"make-tables": 1})
    assert finished.calls(*SNAKEMAKE) == Counter()


def test_an_edit_of_the_geometry_from_snakemake(finished: Workspace) -> None:
    edit(finished, "geometry/overlap.py")
    called = finished.calls(*SNAKEMAKE)
    made = Counter(line.split()[0] for line in called.elements())
    # The overlaps turn out the same: no stage is even asked, but for the record of the artifacts.
    assert made == Counter(
        {"write-fingerprints": 1, "find-overlaps": N_SCENES, "write-manifest": 1, "run-stage": 1}
    )
    assert called["run-stage artifacts@smoke"] == 1
    assert finished.calls(*DVC) == Counter()
    assert "up to date" in finished.call("dvc", "status").stdout


def test_comments_and_docstrings_rerun_nothing(finished: Workspace) -> None:
    file = edit(finished, "config/params.py", "# a comment")
    file.write_text(file.read_text().replace('"""', '"""Improved: ', 1))
    assert finished.calls(*SNAKEMAKE) == Counter({"write-fingerprints": 1})
    assert finished.calls(*DVC) == Counter()


@pytest.mark.long
def test_edits_can_be_accepted(finished: Workspace) -> None:
    edit(finished, "losses/info_nce.py")
    edit(finished, "geometry/oversegmentation.py")
    finished.call("snakemake", "--cores", "1", "--touch", "all_artifacts")
    status = finished.call("dvc", "status").stdout
    changed = {line.rstrip(":") for line in status.splitlines() if "@" in line and line[0] != "\t"}
    assert changed == {"artifacts@smoke", "pretrain@smoke-none-0", "pretrain@smoke-view-0"}
    finished.call("dvc", "commit", "--force")
    assert finished.calls(*DVC) == Counter()
    assert finished.calls(*SNAKEMAKE) == Counter()


def test_an_edit_while_a_stage_waits_stops_it(finished: Workspace) -> None:
    file = finished.root / "pipeline/reporting/markdown.py"
    before = file.read_bytes()
    edit(finished, "reporting/markdown.py")
    # As a waiting job does: its run has looked at the code before the edit.
    command = ("dvc", "repro", "--single-item", "--force", "tables@smoke")
    stopped = finished.call(*command, check=False)
    assert stopped.returncode != 0
    assert "pipeline.reporting.markdown: edited after this run started" in stopped.stdout
    file.write_bytes(before)
    # The tables, which DVC had removed before, come from its cache.
    assert finished.count(*SNAKEMAKE) == Counter()
