"""Core-seconds to load one frame pair for a training step."""

from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.geometry import peer, peer_loader
from benchmarks.geometry.measure import cpu_seconds
from benchmarks.geometry.rows import Row
from benchmarks.geometry.stage_jobs import params
from benchmarks.geometry.workspace import Scans, Workspace
from pipeline.data.cache import ByteCache
from pipeline.data.pairs import PairBatches
from pipeline.data.store import SceneStore
from pipeline.data.tables import open_version

N_MATCHES = 1024


def loader_rows(work: Workspace, scans: Scans) -> Iterator[Row]:
    """Images, depth, 3D chunk and 1,024 matches of each kind; no augmentation on either side.

    Nothing that was read is kept from one pair to the next, on neither side: in ScanNet a pair's
    scene is hardly ever the one before.
    """
    torch.set_num_threads(1)
    n_ours, n_theirs = (10, 3) if work.is_quick else (80, 20)
    targets = export(work, scans)
    for mode in ("strict", "pri3d"):
        stores = Stores(work.artifacts(scans, mode), scans)
        made_with = params(scans.raw_dir, mode=mode)
        batches = PairBatches(
            stores.fresh(),
            made_with.pretraining,
            made_with.geometry.matching,
            seed=0,
            with_voxels=True,
        )
        stores.load(batches, range(n_ours, n_ours + 2))  # compiles
        kept_s, _ = cpu_seconds(stores.load, batches, range(n_ours))
        ours_s, names = cpu_seconds(stores.load, batches, range(n_ours), False)
        theirs_s, _ = cpu_seconds(_load_as_peer, targets, names[:n_theirs])
        rows_s, _ = cpu_seconds(_load_as_peer, targets, names[:n_theirs], peer_loader.unique_rows)
        yield Row(
            f"training loader, {mode} matches ({scans.text})",
            "ms CPU/pair",
            ours_s / n_ours * 1000,
            theirs_s / n_theirs * 1000,
            at_least=25,
            note=f"{n_ours} pairs, baseline on {n_theirs} of them; nothing kept between pairs, not "
            f"even the files' footers (with these {kept_s / n_ours * 1000:.2f} ms); baseline with "
            f"np.unique over rows instead of keys {rows_s / n_theirs * 1000:.0f} ms",
        )


class Stores:
    """The artifacts of scans as a loader with a cold cache sees them."""

    def __init__(self, out: Path, scans: Scans) -> None:
        self._out = out
        self._scenes = scans.scenes
        self._cache = ByteCache()

    def fresh(self) -> dict[str, SceneStore]:
        """Stores that have opened nothing."""
        return {scene: SceneStore(self._out, scene, self._cache) for scene in self._scenes}

    def load(self, batches: PairBatches, numbers: range, keeps_footers: bool = True) -> list[str]:
        """Load pairs one by one; their names."""
        names: list[str] = []
        for number in numbers:
            self._cache = ByteCache()
            batches.scenes = self.fresh()
            if not keeps_footers:
                open_version.cache_clear()
            names += batches[number].names
        return names


def export(work: Workspace, scans: Scans) -> dict[str, Path]:
    """The peer's files of each scene, made before anything is timed."""
    targets = {}
    for scene in scans.scenes:
        targets[scene] = target = work.folder / "peer_loader" / scans.raw_dir.name / scene
        peer.export(scans.sens(scene), target, scans.frame_stride)
        peer_loader.write_scene(target, scans.mesh(scene))
    return targets


def _load_as_peer(
    targets: dict[str, Path], names: list[str], unique: peer_loader.Unique = peer_loader.unique_keys
) -> None:
    for name in names:
        scene, pair = name.rsplit(": ", 1)
        a, b = map(int, pair.split("-"))
        peer_loader.load_pair(targets[scene], a, b, N_MATCHES, unique)
