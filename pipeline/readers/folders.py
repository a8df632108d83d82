"""Scenes that are folders of pictures; folder_layouts.py has the datasets."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8, UInt16

from pipeline.readers import imaging
from pipeline.readers.base import ColorSize, Frame, Reader, ReaderError, Scene
from pipeline.readers.checks import (
    FrameProblem,
    check_intrinsics,
    check_pose,
    check_scene_name,
    check_still_there,
    depth_in_metres,
    pose_warning,
    read_matrix,
    skipping,
)

#: Raw depth units per metre in all of these layouts.
DEPTH_SHIFT = 1000.0
#: Colour and depth are "registered up to resizing" if their aspect ratios differ by less
#: (ScanNet: 1296x968 and 640x480, half a percent).
ASPECT_TOLERANCE = 0.02
#: Enough of a PNG for its size.
_PNG_HEADER_BYTES = 24


@dataclass(frozen=True)
class FilePattern:
    """Where one kind of file is: a folder below the scene, and a name whose group is the frame."""

    folder: str
    name: str
    shown: str

    def find(self, scene_dir: Path) -> dict[int, Path]:
        """Frame id -> file.

        Raises:
            ReaderError: two files of one frame.
        """
        found: dict[int, Path] = {}
        for path in _children(scene_dir / self.folder):
            match = re.fullmatch(self.name, path.name)
            if match is None:
                continue
            frame_id = int(match.group(1))
            if frame_id in found:
                raise ReaderError(
                    f"{path} and {found[frame_id].name} are both frame {frame_id}; remove one"
                )
            found[frame_id] = path
        return found


def _children(folder: Path) -> list[Path]:
    """Sorted entries of a folder; none if it is missing. Hidden files are left out."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


@dataclass(frozen=True)
class FolderLayout:
    """A dataset whose scenes are folders of pictures, keyed by frame number.

    Attributes:
        color: JPEG or PNG.
        depth: 16-bit PNG, millimetres, 0 and 65535 invalid.
        pose: 4x4 text, camera-to-world, metres.
        intrinsics: text file with the depth's 3x3 or 4x4 intrinsics, in the scene folder or one of
            its parents inside the raw folder.
        tree: the raw folder's tree, for messages and docs/datasets.md.
        label: 8 or 16-bit PNG with raw label ids; None if the layout has none.
        labels_required: whether the artifacts depend on labels that may not exist yet.
        sequence: name of the sequence folders inside a scene folder, as a regular expression;
            None if a scene is one folder.
    """

    color: FilePattern
    depth: FilePattern
    pose: FilePattern
    intrinsics: str
    tree: str
    label: FilePattern | None = None
    labels_required: bool = False
    sequence: str | None = None

    def reader(self) -> Reader:
        """The layout as a reader; `list_scenes` is `find_scenes`."""
        return Reader(self.find_scenes, self.scene_files, self.open_scene, self.tree)

    def find_scenes(self, raw_dir: Path) -> list[str]:
        """Sorted scene names, if at least one of the scenes has this layout's calibration.

        A scene without it is still listed, so that opening it tells what is missing.

        Raises:
            ReaderError: there are scene folders, but none has this layout's calibration.
        """
        folders = dict(self._scene_folders(raw_dir))
        if folders and not any(self._find_intrinsics(raw_dir, f) for f in folders.values()):
            raise ReaderError(f"none of its {len(folders)} scene folders has {self.intrinsics}")
        return sorted(folders)

    def _scene_folders(self, raw_dir: Path) -> Iterator[tuple[str, Path]]:
        for folder in _children(raw_dir):
            if self._has_depth(folder):
                yield folder.name, folder
            elif self.sequence is not None:
                for inner in _children(folder):
                    if re.fullmatch(self.sequence, inner.name) and self._has_depth(inner):
                        yield f"{folder.name}_{inner.name}", inner

    def _has_depth(self, scene_dir: Path) -> bool:
        folder = scene_dir / self.depth.folder
        return any(re.fullmatch(self.depth.name, path.name) for path in _children(folder))

    def _find_intrinsics(self, raw_dir: Path, scene_dir: Path) -> Path | None:
        """The calibration file closest to the scene."""
        folder = scene_dir
        while not (folder / self.intrinsics).is_file():
            if folder in (raw_dir, folder.parent):
                return None
            folder = folder.parent
        return folder / self.intrinsics

    def scene_dir(self, raw_dir: Path, scene: str) -> Path:
        """Folder of a scene, whether or not it exists.

        Raises:
            ReaderError: the name is not that of a folder.
        """
        check_scene_name(scene)
        if self.sequence is not None and not (raw_dir / scene).is_dir():
            match = re.fullmatch(f"(.+)_({self.sequence})", scene)
            if match is not None:
                return raw_dir / match.group(1) / match.group(2)
        return raw_dir / scene

    def scene_files(self, raw_dir: Path, scene: str) -> list[Path]:
        """Folders and files that a scene's artifacts depend on (folders: a scan has thousands
        of files); labels only where they exist or the layout always has them."""
        scene_dir = self.scene_dir(raw_dir, scene)
        folders = [scene_dir / part.folder for part in (self.color, self.depth, self.pose)]
        if self.label is not None:
            labels = scene_dir / self.label.folder
            folders += [labels] if self.labels_required or labels.is_dir() else []
        intrinsics = self._find_intrinsics(raw_dir, scene_dir) or scene_dir / self.intrinsics
        return [*dict.fromkeys(folders), intrinsics]

    def open_scene(self, raw_dir: Path, scene: str, frame_stride: int) -> Scene:
        """Index a scene's files by frame number and read its calibration.

        Args:
            raw_dir: Raw folder.
            scene: Name from `find_scenes`.
            frame_stride: Every n-th frame that has colour or depth is kept.

        Returns:
            The scene; it ships no mesh.

        Raises:
            ReaderError: no such scene, no frames, no calibration, or two files of one frame.
        """
        scene_dir = self.scene_dir(raw_dir, scene)
        patterns = {"color": self.color, "depth": self.depth, "pose": self.pose}
        if self.label is not None:
            patterns["label"] = self.label
        files = {kind: pattern.find(scene_dir) for kind, pattern in patterns.items()}
        frame_ids = sorted({*files["color"], *files["depth"]})[::frame_stride]
        if not frame_ids:
            expected = ", ".join(pattern.shown for pattern in patterns.values())
            state = "holds none of them" if scene_dir.is_dir() else "does not exist"
            raise ReaderError(f"{scene_dir}: expected {expected}; the folder {state}\n{self.tree}")
        intrinsics = self._find_intrinsics(raw_dir, scene_dir)
        if intrinsics is None:
            raise ReaderError(
                f"{scene}: no intrinsics: expected {scene_dir / self.intrinsics}\n{self.tree}"
            )
        try:
            K = check_intrinsics(read_matrix(intrinsics, (3, 4)), str(intrinsics))
        except ValueError as error:
            raise ReaderError(str(error)) from error
        folder_scene = _FolderScene(self, scene_dir, files, K, _majority_size(files, frame_ids))
        return Scene(
            scene_id=scene,
            frame_ids=tuple(frame_ids),
            load_frame=skipping(folder_scene.load),
            load_mesh=lambda: None,
            files=tuple(self.scene_files(raw_dir, scene)),
            probe_frame=folder_scene.check,
        )


@dataclass(frozen=True)
class _FolderScene:
    """The indexed files of one scene."""

    layout: FolderLayout
    scene_dir: Path
    files: dict[str, dict[int, Path]]
    K: Float64[np.ndarray, "3 3"]
    depth_size: tuple[int, int] | None

    def _path(self, kind: str, frame_id: int, status: str) -> Path:
        path = self.files[kind].get(frame_id)
        if path is None:
            shown = getattr(self.layout, kind).shown
            raise FrameProblem(
                status,
                f"{self.scene_dir} frame {frame_id}: no {kind} file (expected {shown})",
                missing_file=True,
            )
        return path

    def check(self, frame_id: int) -> Float64[np.ndarray, "4 4"]:
        """Pose of a frame, after the checks that decode no picture; FrameProblem otherwise."""
        pose = self._path("pose", frame_id, "no_pose")
        try:
            T_world_camera = check_pose(read_matrix(pose, (4,)), str(pose))
        except ValueError as error:
            raise FrameProblem("bad_pose", str(error)) from error
        self._path("depth", frame_id, "no_depth")
        self._path("color", frame_id, "no_color")
        return T_world_camera

    def load(self, frame_id: int, color_size: ColorSize) -> Frame:
        """Decode a frame; FrameProblem if it cannot be used."""
        T_world_camera = self.check(frame_id)
        sha256 = hashlib.sha256()
        depth_path = self.files["depth"][frame_id]
        depth_raw = _decode(imaging.decode_gray, depth_path, self._check_depth, sha256)
        depth = depth_in_metres(depth_raw, DEPTH_SHIFT, str(depth_path))
        color: UInt8[np.ndarray, "h w 3"] | None = None
        label: UInt16[np.ndarray, "h w"] | None = None
        if color_size is not None:
            color_path = self.files["color"][frame_id]
            at_least = None if color_size == "full" else color_size
            decode = partial(imaging.decode_color, at_least=at_least)
            color = _decode(decode, color_path, self._check_aspect, sha256)
            label_path = self.files.get("label", {}).get(frame_id)
            if label_path is not None:
                label = _decode(imaging.decode_gray, label_path, self._check_aspect)
        return Frame(
            frame_id,
            "ok",
            pose_warning(T_world_camera, str(self.files["pose"][frame_id])),
            T_world_camera,
            self.K,
            color,
            depth,
            label,
            sha256.hexdigest(),
        )

    def _check_depth(self, path: Path, size: tuple[int, int]) -> None:
        if size != self.depth_size:
            raise FrameProblem(
                "wrong_size",
                f"{path}: {_shown(size)}, most of the scene's depth is {_shown(self.depth_size)}",
            )

    def _check_aspect(self, path: Path, size: tuple[int, int]) -> None:
        depth = self.depth_size or size
        if abs(size[1] / size[0] / (depth[1] / depth[0]) - 1) > ASPECT_TOLERANCE:
            raise FrameProblem(
                "wrong_size",
                f"{path}: {_shown(size)} has another shape than the depth, {_shown(depth)}; "
                "they must show the same view",
            )


def _shown(size: tuple[int, int] | None) -> str:
    return f"{size[1]}x{size[0]}" if size else "unknown"


def _decode(
    decoder: Callable[[bytes], np.ndarray],
    path: Path,
    check_size: Callable[[Path, tuple[int, int]], None],
    sha256: Any | None = None,
) -> np.ndarray:
    """Decode a picture whose size fits, and add its bytes to a hash."""
    try:
        if path.stat().st_size > imaging.MAX_BYTES:
            raise imaging.ImageError(f"has more than {imaging.MAX_BYTES} bytes")
        data = path.read_bytes()
        # Before anything is decoded: a small file may hold a gigantic picture.
        check_size(path, imaging.image_size(data))
        if sha256 is not None:
            sha256.update(data)
        return decoder(data)
    except OSError as error:
        check_still_there(path)
        raise FrameProblem("corrupt", f"{path}: cannot be read: {error.strerror}") from error
    except imaging.ImageError as error:
        raise FrameProblem(
            "truncated" if error.truncated else "corrupt", f"{path}: {error}"
        ) from error


def _majority_size(
    files: dict[str, dict[int, Path]], frame_ids: list[int]
) -> tuple[int, int] | None:
    """The commonest depth size by the pictures' headers; the first of several."""
    sizes: Counter[tuple[int, int]] = Counter()
    for path in filter(None, map(files["depth"].get, frame_ids)):
        try:
            with path.open("rb") as file:
                sizes[imaging.image_size(file.read(_PNG_HEADER_BYTES))] += 1
        except (OSError, imaging.ImageError):
            continue  # such a frame is skipped with its reason when it is loaded
    return sizes.most_common(1)[0][0] if sizes else None
