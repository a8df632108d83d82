"""Invariants of every table's metadata: complete, and true of the files it was made from."""

import re

from pipeline.digest import hash_files
from pipeline.reporting.validation.findings import Findings
from pipeline.reporting.validation.scene import StoredScene

#: Key -> pattern of its value. `schema_version` is compared when the table is opened.
_REQUIRED = {
    "reader": r"\w+",
    "package_version": ".+",
    "params_hash": "[0-9a-f]{12}",
    "inputs_sha256": "[0-9a-f]{64}",
}
#: Kind -> kinds whose files its `inputs_sha256` is of; those of raw data are not checked.
_MADE_FROM = {
    "voxels": ("mesh",),
    "correspondences": ("frames", "voxels"),
    "segments": ("mesh", "voxels"),
}
#: Of the sets, by their projection.
_SETS_MADE_FROM = {
    "voxel_map": ("mesh", "voxels", "correspondences"),
    "ray_casting": ("mesh", "voxels", "frames"),
}


def check_provenance(scene: StoredScene, kind: str, found: Findings) -> None:
    """Required keys are there, the scene is this one, and its inputs have not changed since."""
    metadata = scene.metadata(kind)
    for key, value in {"artifact": kind, "scene": scene.name}.items():
        if metadata.get(key) != value:
            found.add("metadata", f"{key} must be {value}, is {metadata.get(key, 'missing')}")
    for key, pattern in _REQUIRED.items():
        if key not in metadata:
            found.add("metadata", f"{key} is missing")
        elif not re.fullmatch(pattern, metadata[key]):
            found.add("metadata", f"{key} is {metadata[key]!r}, not of the form {pattern}")
    inputs = _MADE_FROM.get(kind, ())
    if kind == "sets":
        inputs = scene.setting(kind, "projection", _SETS_MADE_FROM.__getitem__)
    files = [scene.path(name) for name in inputs]
    if not files or not all(file.is_file() for file in files):
        return  # a missing file is a violation of its own
    if hash_files(*files) != metadata.get("inputs_sha256"):
        names = ", ".join(file.name for file in files)
        found.add("metadata", f"inputs_sha256: it was made from other {names}; make it again")
