"""ScanNet's raw scans: `.sens` files and reconstructed meshes."""

import os
from dataclasses import replace
from pathlib import Path

from pipeline.geometry.mesh import Mesh, MeshError, read_ply
from pipeline.readers.base import Reader, ReaderError, Scene
from pipeline.readers.checks import check_scene_name, skipping
from pipeline.readers.sens import open_sens

TREE = """\
RAW/
  scans/                          may be left out: RAW/SCENE/
    SCENE/
      SCENE.sens                  colour, depth, poses, calibration
      SCENE_vh_clean_2.ply        optional: mesh; without it one is fused
      SCENE_vh_clean_2.labels.ply optional: NYU40 ids of the mesh's vertices
"""


def _scene_dir(raw_dir: Path, scene: str) -> Path:
    """RAW/SCENE where it holds the scan, else RAW/scans/SCENE, whether or not that exists."""
    check_scene_name(scene)
    direct = raw_dir / scene
    return direct if (direct / f"{scene}.sens").is_file() else raw_dir / "scans" / scene


def _mesh_files(scene_dir: Path) -> tuple[Path, Path]:
    stem = f"{scene_dir.name}_vh_clean_2"
    return scene_dir / f"{stem}.ply", scene_dir / f"{stem}.labels.ply"


def find_scenes(raw_dir: Path) -> list[str]:
    """Sorted names of the folders that hold a `.sens` file of their own name."""
    # Not by a pattern for the files: it would list every folder, several calls on a network disk.
    folders = (*raw_dir.glob("*"), *raw_dir.glob("scans/*"))
    # A broken link counts: opening it tells what is wrong.
    return sorted({f.name for f in folders if os.path.lexists(f / f"{f.name}.sens")})


def scene_files(raw_dir: Path, scene: str) -> list[Path]:
    """The `.sens` and mesh files of a scene; of a scene that is still to be made, all of them."""
    scene_dir = _scene_dir(raw_dir, scene)
    sens, meshes = scene_dir / f"{scene}.sens", _mesh_files(scene_dir)
    return [sens, *(mesh for mesh in meshes if mesh.is_file() or not sens.is_file())]


def load_mesh(scene_dir: Path) -> Mesh | None:
    """The reconstruction with its labels, if there are any; None if it is missing.

    Raises:
        ReaderError: a damaged file, or labels of another mesh.
    """
    mesh_file, labels_file = _mesh_files(scene_dir)
    if not mesh_file.is_file():
        return None
    try:
        mesh = read_ply(mesh_file)
        if not labels_file.is_file():
            return mesh
        # The colours of this file are those of the classes.
        label = read_ply(labels_file).label
    except MeshError as error:
        raise ReaderError(str(error)) from error
    if label is None or len(label) != len(mesh.vertices):
        raise ReaderError(
            f"{labels_file}: expected a label for each of the {len(mesh.vertices)} vertices of "
            f"{mesh_file.name}, found {'none' if label is None else len(label)}"
        )
    return replace(mesh, label=label)


def open_scene(raw_dir: Path, scene: str, frame_stride: int) -> Scene:
    """Index a scan; see `readers.base.Reader`.

    Raises:
        ReaderError: missing or damaged `.sens` file.
    """
    scene_dir = _scene_dir(raw_dir, scene)
    path = scene_dir / f"{scene}.sens"
    if not path.is_file():
        raise ReaderError(
            f"{scene}: no scan: expected {path} or {raw_dir / scene / path.name}\n{TREE}"
        )
    sens = open_sens(path)
    return Scene(
        scene_id=scene,
        frame_ids=tuple(range(0, sens.n_frames, frame_stride)),
        load_frame=skipping(sens.read_frame),
        load_mesh=lambda: load_mesh(scene_dir),
        files=tuple(scene_files(raw_dir, scene)),
        probe_frame=sens.check_frame,
    )


READER = Reader(find_scenes, scene_files, open_scene, TREE)
