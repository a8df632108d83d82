"""`check_artifacts`: a stage reads what the manifests list, or stops."""

from pathlib import Path

import pytest

from pipeline import layout
from pipeline.atomic import write_json
from pipeline.digest import hash_file
from pipeline.stages.artifact_check import check_artifacts
from pipeline.stages.common import StageError


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three files with their manifest."""
    monkeypatch.chdir(tmp_path)
    found = [layout.artifact(layout.artifacts_dir("rooms"), f"s{i}", "frames") for i in range(3)]
    for file in found:
        file.parent.mkdir(parents=True)
        file.write_text(file.parent.name)
    content = {file.as_posix(): hash_file(file) for file in found}
    write_json(layout.manifest("rooms", "frames"), content)
    return found


def test_as_listed(files: list[Path]) -> None:
    check_artifacts("rooms", ["frames"])


@pytest.mark.parametrize("contents", [True, False])
def test_missing(files: list[Path], contents: bool) -> None:
    files[1].unlink()
    files[2].unlink()
    with pytest.raises(
        StageError, match=r"^data/artifacts/rooms/s1/frames.*: missing \(2 of the 3"
    ):
        check_artifacts("rooms", ["frames"], contents)


def test_another_content_of_the_same_size(files: list[Path]) -> None:
    files[1].write_text("sX")
    with pytest.raises(StageError, match=r"s1/frames.parquet: is not the file .* \(1 of 3 are not"):
        check_artifacts("rooms", ["frames"])
    check_artifacts("rooms", ["frames"], contents=False)


def test_no_manifest(files: list[Path]) -> None:
    with pytest.raises(StageError, match=r"voxels.json: No such file .* all_artifacts` makes it"):
        check_artifacts("rooms", ["frames", "voxels"])
