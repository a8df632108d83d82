import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from pipeline import layout
from pipeline.stages.common import StageError
from pipeline.stages.write_manifest import write_manifest
from tests.raw_room import raw_params


def test_manifest(
    raw_dir: Path, artifacts_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    params = raw_params(raw_dir)
    target = Path("data/artifacts/boxes")
    with pytest.raises(StageError, match="1 of 1 scenes have no sets, first: data/artifacts"):
        write_manifest(params, "sets")
    shutil.copytree(artifacts_dir, target)
    write_manifest(params, "sets")
    manifest = layout.manifest("boxes", "sets")
    content = (target / "room" / "sets.parquet").read_bytes()
    expected = {"data/artifacts/boxes/room/sets.parquet": hashlib.sha256(content).hexdigest()}
    assert json.loads(manifest.read_text()) == expected

    os.utime(manifest, ns=(1, 1))
    write_manifest(params, "sets")
    assert manifest.stat().st_mtime_ns == 1  # unchanged content: untouched
    (target / "room" / "sets.parquet").write_bytes(content + b" ")
    write_manifest(params, "sets")
    assert manifest.stat().st_mtime_ns > 1
    assert json.loads(manifest.read_text()) != expected
