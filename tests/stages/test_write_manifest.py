import hashlib
import json
import shutil
from pathlib import Path

import pytest

from pipeline import layout
from pipeline.config import Params
from pipeline.schemas import ArtifactError, read_table, write_table
from pipeline.stages.common import StageError, read_split
from pipeline.stages.scene_lists import resolve_split, scene_names
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

    sets = target / "room" / "sets.parquet"
    write_table(sets, "sets", [read_table(sets, "sets").slice(1)], dict)
    write_manifest(params, "sets")
    assert json.loads(manifest.read_text()) != expected
    expected = manifest.read_bytes()
    sets.write_bytes(content[:-9])
    with pytest.raises(ArtifactError, match=r"sets\.parquet: not readable .*; `rm "):
        write_manifest(params, "sets")
    assert manifest.read_bytes() == expected


def test_split(raw_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = {"raw_dir": "nowhere", "scenes": ["a", "b", "c"], "validation_scenes": ["b"]}
    assert resolve_split(with_dataset(raw_params(raw_dir), dataset)) == {
        "train": ["a", "c"],
        "validation": ["b"],
    }
    Path("lists.txt").write_text("c\n\nb\n")
    from_file = with_dataset(raw_params(raw_dir), dataset | {"validation_scenes": "lists.txt"})
    assert resolve_split(from_file)["validation"] == ["b", "c"]
    unknown = with_dataset(raw_params(raw_dir), dataset | {"validation_scenes": ["d"]})
    with pytest.raises(StageError, match=r"names \['d'\], which are not among the 3 scenes"):
        resolve_split(unknown)
    with pytest.raises(StageError, match=r"split\.json: missing"):
        read_split(from_file)


def with_dataset(params: Params, changes: dict[str, object]) -> Params:
    """Params with other values in their section `dataset`."""
    return params.model_copy(update={"dataset": params.dataset.model_copy(update=changes)})


def test_unknown_scene_is_named_while_planning(raw_dir: Path) -> None:
    params = with_dataset(raw_params(raw_dir), {"scenes": ["nosuch"]})
    with pytest.raises(StageError, match=r"names \['nosuch'\], but .* has 1 scenes: room"):
        scene_names(params)
