"""What all rows share: the sequences as scans, and the artifacts made from them."""

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from benchmarks.geometry.recordings import View, read_views, scan_files, scannet_sized, write_scan
from benchmarks.geometry.stage_jobs import STAGES, Mode
from pipeline.geometry.mesh import Mesh, read_ply
from pipeline.readers import READERS

#: Raw frames for each that is kept, of the scan at ScanNet's sizes.
SCANNET_STRIDE = 25


@dataclass(frozen=True)
class Scans:
    """Sequences written as scans.

    Attributes:
        raw_dir: root of the raw tree.
        scenes: names.
        frame_stride: every n-th raw frame is kept.
        text: what they are, for the table.
    """

    raw_dir: Path
    scenes: tuple[str, ...]
    frame_stride: int
    text: str

    def sens(self, scene: str) -> Path:
        """The recording of a scene."""
        return scan_files(self.raw_dir, scene)[0]

    def ply(self, scene: str) -> Path:
        """The mesh file of a scene."""
        return scan_files(self.raw_dir, scene)[1]

    def mesh(self, scene: str) -> Mesh:
        """The mesh of a scene."""
        return read_ply(self.ply(scene))


@dataclass(frozen=True)
class Workspace:
    """Files below `folder`, made when they are first asked for.

    Attributes:
        sequences: folder of the posed sequences.
        folder: an empty folder.
        is_quick: fewer repeats and smaller samples, for a trial.
        long_folder: where the room of 6,000 frames is, or is made; None leaves it out.
    """

    sequences: Path
    folder: Path
    is_quick: bool
    long_folder: Path | None = None

    @cached_property
    def scenes(self) -> tuple[str, ...]:
        """Names of the sequences."""
        return tuple(READERS["posed_folder"].list_scenes(self.sequences))

    @cache  # noqa: B019 - lives as long as the program
    def views(self, scene: str) -> list[View]:
        """Frames of a sequence."""
        return read_views(self.sequences, scene)

    @cached_property
    def native(self) -> Scans:
        """All sequences at their own size, every frame kept: the peer unpacks nothing in vain."""
        raw_dir = self.folder / "scans_native"
        for scene in self.scenes:
            write_scan(raw_dir, scene, self.views(scene))
        return Scans(raw_dir, self.scenes, 1, "own size, all frames kept")

    @cached_property
    def scannet(self) -> Scans:
        """The first sequence at 1296x968 and 640x480, one raw frame in 25 kept, as in ScanNet."""
        raw_dir, scene = self.folder / "scans_scannet", self.scenes[0]
        views = [scannet_sized(view) for view in self.views(scene)]
        write_scan(raw_dir, scene, views, repeats=SCANNET_STRIDE)
        text = f"ScanNet's sizes, 1 of {SCANNET_STRIDE} frames kept"
        return Scans(raw_dir, (scene,), SCANNET_STRIDE, text)

    @cache  # noqa: B019
    def artifacts(self, scans: Scans, mode: Mode = "strict") -> Path:
        """Artifacts of scans; making them also compiles what is timed later."""
        out = self.folder / f"artifacts_{scans.raw_dir.name}_{mode}"
        for scene in scans.scenes:
            for stage in STAGES:
                stage(str(scans.raw_dir), scene, str(out), scans.frame_stride, mode)
        return out
