"""Names that a shell, a pattern or a format string would misread, all the way through Snakemake."""

from pathlib import Path

import yaml

from pipeline import layout
from pipeline.schemas import open_artifact
from tests.artifacts import bad_scenes as bad
from tests.artifacts.bad_scenes import RAW, SCENE
from tests.workflow.conftest import Workspace


def test_a_command_and_a_pattern_as_a_name(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    bad.write_recording(tmp_path / RAW / SCENE)
    params = bad.params(Path(RAW), "scannet")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json")))
    artifacts = layout.artifacts_dir(params.dataset.name)
    overlaps = layout.artifact(artifacts, SCENE, "overlaps")
    # The manifest asks for the sets, and they for what they are made from.
    targets = [str(overlaps), str(layout.manifest(params.dataset.name, "sets"))]
    workspace.call("snakemake", "--cores", "2", "--", *targets)
    for kind in layout.ARTIFACT_KINDS:
        open_artifact(tmp_path / layout.artifact(artifacts, SCENE, kind), kind)
    assert not list(tmp_path.rglob("x"))
    assert "Nothing to be done" in workspace.call("snakemake", "-n", "--", *targets).stdout
