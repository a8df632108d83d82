"""A clone in which Git and DVC have put files at any times, and Snakemake has no record."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest
import yaml

from pipeline import layout
from pipeline.atomic import write_json
from pipeline.config import Params
from pipeline.stages.clone import outdated_rules, settle_times
from pipeline.stages.common import StageError
from pipeline.stages.share_artifacts import manifests_hash
from pipeline.stages.write_manifest import write_manifest
from tests.raw_room import raw_params

SCENE = Path("data/artifacts/boxes/room")
SHARED = layout.shared_artifacts("boxes")


@pytest.fixture
def params(
    raw_dir: Path, artifacts_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Params:
    """Params of a clone whose working directory has the room's artifacts, shared."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(artifacts_dir, SCENE.parent)
    params = raw_params(raw_dir)
    for kind in layout.ARTIFACT_KINDS:
        write_manifest(params, kind)
    write_json(layout.split("boxes"), {"train": ["room"], "validation": []})
    SHARED.write_text(yaml.safe_dump({"meta": {"manifests": manifests_hash("boxes")}}))
    return params


def spread(*files: Path) -> None:
    """Give files times one second apart, in this order."""
    for second, file in enumerate(files):
        os.utime(file, (1e9 + second, 1e9 + second))


def scene(*kinds: str) -> list[Path]:
    return [SCENE / f"{kind}.parquet" for kind in kinds]


def worst_order() -> list[Path]:
    """All files, whatever is made from others before these."""
    manifests = [layout.manifest("boxes", kind) for kind in layout.ARTIFACT_KINDS]
    made = ("sets", "segments", "labelled_frames", "overlaps", "correspondences", "voxels")
    return [SHARED, *manifests, *scene(*made, "frames"), SCENE / "mesh.ply"]


def times(files: list[Path]) -> list[float]:
    return [file.stat().st_mtime for file in files]


def test_pulled_artifacts_get_an_order(params: Params) -> None:
    spread(*worst_order())
    settle_times("boxes")
    tables = list(SCENE.glob("*.parquet"))
    sources = [*scene("frames", "voxels", "correspondences"), SCENE / "mesh.ply"]
    manifests = [layout.manifest("boxes", kind) for kind in layout.ARTIFACT_KINDS]
    assert max(times(sources)) <= min(times(scene("segments", "sets")))
    assert max(times(tables)) <= min(times(manifests))
    assert max(times(manifests)) <= SHARED.stat().st_mtime
    settled = times(worst_order())
    settle_times("boxes")
    assert times(worst_order()) == settled


@pytest.mark.parametrize("name", ["sets.parquet", "frames.parquet", "mesh.ply"])
def test_other_content_is_left_to_snakemake(params: Params, name: str) -> None:
    with (SCENE / name).open("ab") as file:
        file.write(b"x")
    spread(*worst_order())
    before = times(worst_order())
    settle_times("boxes")
    assert times(worst_order()) == before


def test_without_artifacts(params: Params) -> None:
    shutil.rmtree(SCENE)
    manifest = layout.manifest("boxes", "sets")
    spread(SHARED, manifest)
    settle_times("boxes")
    assert SHARED.stat().st_mtime > manifest.stat().st_mtime
    write_json(manifest, {})  # others than those that were shared
    spread(SHARED, manifest)
    settle_times("boxes")
    assert SHARED.stat().st_mtime < manifest.stat().st_mtime


def test_nothing_is_touched_where_nothing_is_shared(params: Params) -> None:
    SHARED.unlink()
    files = worst_order()[1:]
    spread(*files)
    before = times(files)
    settle_times("boxes")
    assert times(files) == before


def record(params: Params) -> None:
    """dvc.lock, in which the artifacts were made with these params and this code."""
    fingerprint = layout.fingerprint("oversegment")
    write_json(fingerprint, {"pipeline.stages.oversegment": "as it was"})
    entry = {
        "deps": [
            {
                "path": str(fingerprint),
                "md5": hashlib.md5(fingerprint.read_bytes()).hexdigest(),
            }
        ],
        "params": {
            "params.yaml": params.model_dump(
                mode="json", include={"dataset", "labelled", "rooms", "geometry"}
            )
        },
    }
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"artifacts@boxes": entry}}))


def outdated(params: Params, scenes: tuple[str, ...] = ("room",)) -> set[str]:
    settings = {
        "extract_frames": params.values("dataset.frame_stride"),
        "oversegment": params.values("geometry.sets", "geometry.oversegmentation"),
        "find_overlaps": params.values("geometry.overlaps"),
        "write_manifest": {},
    }
    return outdated_rules(params, lambda: list(scenes), settings)


def test_rules_of_changed_params_code_and_scenes(params: Params) -> None:
    record(params)
    assert outdated(params) == set()
    geometry = params.geometry
    overlaps = geometry.overlaps.model_copy(update={"radius_m": 0.01})
    edited = params.model_copy(
        update={"geometry": geometry.model_copy(update={"overlaps": overlaps})}
    )
    assert outdated(edited) == {"find_overlaps"}
    assert outdated(params, ("room", "room_b")) == {"write_manifest", "write_split"}
    write_json(layout.fingerprint("oversegment"), {"pipeline.stages.oversegment": "edited"})
    assert outdated(params) == {"oversegment"}
    # Without the raw data, what is made from them cannot be made again.
    dataset = edited.dataset.model_copy(update={"raw_dir": "nowhere"})
    with pytest.raises(StageError, match=r"manifests/boxes came from elsewhere.*nowhere is not"):
        outdated(edited.model_copy(update={"dataset": dataset}))


def test_snakemakes_own_record_is_finer(params: Params) -> None:
    from snakemake.persistence.file import FilePersistence

    record(params)
    edited = params.model_copy(
        update={"geometry": params.geometry.model_copy(update={"voxel_size_m": 0.5})}
    )
    settings = {"extract_frames": edited.values("geometry.voxel_size_m")}
    assert outdated_rules(edited, lambda: ["room"], settings) == {"extract_frames"}
    persistence = FilePersistence(path=Path(".snakemake"))
    for kind in layout.ARTIFACT_KINDS:
        name = str(layout.manifest("boxes", kind))
        record_file = Path(persistence._record_path(persistence._metadata_path, name))
        record_file.write_text("{}")
    assert outdated_rules(edited, lambda: ["room"], settings) == set()
