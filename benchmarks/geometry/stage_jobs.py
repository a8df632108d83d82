"""The stages with paper 000's params, callable in a fresh process.

Stages are imported where they are used: a process that is measured holds what its job needs.
"""

from pathlib import Path
from typing import Literal

from pipeline.config import Params, load_params

#: 240x320, 2 cm voxels, five k: what the papers train with.
_PRESET = Path(__file__).parents[2] / "presets" / "paper_000.yaml"

Mode = Literal["strict", "pri3d"]


def params(raw_dir: Path, frame_stride: int = 1, mode: Mode = "strict") -> Params:
    """Paper 000's params for scans in `raw_dir`, one pair a batch; without a mesh one is fused."""
    given = load_params(_PRESET)
    changes = {"raw_dir": str(raw_dir), "frame_stride": frame_stride}
    matching = given.geometry.matching.model_copy(update={"mode": mode})
    return given.model_copy(
        update={
            "dataset": given.dataset.model_copy(update=changes),
            "geometry": given.geometry.model_copy(update={"matching": matching}),
            "pretraining": given.pretraining.model_copy(
                update={"batch_pairs": 1, "accumulation": 1}
            ),
        }
    )


def extract(
    raw_dir: str, scene: str, out: str, frame_stride: int = 1, mode: Mode = "strict"
) -> str:
    """Frames, mesh, voxels and correspondences."""
    from pipeline.stages.extract_frames import extract_scene

    return extract_scene(
        params(Path(raw_dir), frame_stride, mode), scene, Path(out), with_labels=False
    )


def segment(
    raw_dir: str, scene: str, out: str, frame_stride: int = 1, mode: Mode = "strict"
) -> str:
    """Segments and sets."""
    from pipeline.stages.oversegment import oversegment_scene

    return oversegment_scene(params(Path(raw_dir), frame_stride, mode), scene, Path(out))


def overlap(
    raw_dir: str, scene: str, out: str, frame_stride: int = 1, mode: Mode = "strict"
) -> str:
    """Overlaps of all pairs."""
    from pipeline.stages.find_overlaps import find_scene_overlaps

    return find_scene_overlaps(params(Path(raw_dir), frame_stride, mode), scene, Path(out))


#: The jobs of a scene in order.
STAGES = (extract, segment, overlap)
