"""What every reader returns: a `Scene` of `Frame`s, whatever the dataset on disk looks like."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64, UInt8, UInt16

from pipeline.geometry.mesh import Mesh


class ReaderError(Exception):
    """A scene or raw folder that cannot be used; the text names the file and what to do."""


@dataclass(frozen=True)
class Frame:
    """One RGB-D frame at its raw resolutions.

    A frame that cannot be used is not an exception: `status` names why and the arrays are None.

    Attributes:
        frame_id: index of the frame in its sequence.
        status: "ok", or one of `SKIP_STATUSES`.
        reason: human-readable detail; if `status` is "ok", a warning or empty.
        T_world_camera: float64 (4, 4), camera-to-world, metres; None where there is no pose.
        K: float64 (3, 3), pixels, intrinsics of `depth` at its raw size.
        color: uint8 (Hc, Wc, 3), RGB, registered to `depth` up to resizing; None if it was not
            asked for.
        depth: float32 (H, W), metres along z, 0 invalid (65535 and NaN are mapped to 0).
        label: uint16 (Hl, Wl), raw label ids of the dataset; None where there are none.
        source_sha256: of the raw bytes of colour and depth that were decoded; empty if none were.
    """

    frame_id: int
    status: str
    reason: str
    T_world_camera: Float64[np.ndarray, "4 4"] | None
    K: Float64[np.ndarray, "3 3"] | None
    color: UInt8[np.ndarray, "hc wc 3"] | None
    depth: Float32[np.ndarray, "h w"] | None
    label: UInt16[np.ndarray, "hl wl"] | None = None
    source_sha256: str = ""


#: Every status a frame can have beside "ok".
SKIP_STATUSES = (
    "no_pose",
    "bad_pose",
    "no_depth",
    "no_color",
    "corrupt",
    "truncated",
    "wrong_size",
)


#: The colour a frame is wanted with: as recorded; good enough to be shrunk to this height and
#: width, so that a JPEG may be decoded at a fraction of its size; None: neither read nor checked.
ColorSize = tuple[int, int] | Literal["full"] | None


@runtime_checkable
class LoadFrame(Protocol):
    """Decodes one frame."""

    def __call__(self, frame_id: int, color_size: ColorSize = "full") -> Frame:
        """The frame; never raises for bad data, see `Frame.status`."""


@dataclass(frozen=True)
class Scene:
    """One recorded place: its frames, read on demand, and its mesh, if the dataset ships one.

    Attributes:
        scene_id: name of the scene, also of its artifact folder.
        frame_ids: every raw frame index after the frame stride, in recording order.
        load_frame: decodes one frame.
        load_mesh: reads the dataset's reconstruction, or None where it ships none.
        files: the raw files that the scene's artifacts depend on.
        probe_frame: pose of a frame after every check that decodes no picture; raises
            `readers.checks.FrameProblem` where `load_frame` would skip the frame for that.
    """

    scene_id: str
    frame_ids: tuple[int, ...]
    load_frame: LoadFrame
    load_mesh: Callable[[], Mesh | None]
    files: tuple[Path, ...]
    probe_frame: Callable[[int], Float64[np.ndarray, "4 4"]] | None = None

    def frames(self, color_size: ColorSize = "full") -> Iterator[Frame]:
        """Yield all frames in order, also those that are skipped (see `Frame.status`)."""
        for frame_id in self.frame_ids:
            yield self.load_frame(frame_id, color_size)


@dataclass(frozen=True)
class Reader:
    """A dataset layout. Adding one is a module and a line in `readers._LAYOUTS`.

    Attributes:
        list_scenes: raw folder -> sorted scene names; ReaderError says what was expected where.
        scene_files: (raw folder, scene) -> files the scene's artifacts depend on. Must be cheap
            and must not need the files to exist: Snakemake calls it while planning.
        open_scene: (raw folder, scene, frame_stride) -> Scene.
        layout: the raw folder's tree, as text for error messages and docs/datasets.md.
    """

    list_scenes: Callable[[Path], list[str]]
    scene_files: Callable[[Path, str], list[Path]]
    open_scene: Callable[[Path, str, int], Scene]
    layout: str
