"""Parts of the labelled training frames, to finetune with fewer labels (paper 001 Table 2)."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Literal

import numpy as np

from pipeline.schemas import ArtifactError

#: Keeps this draw apart from others with the same seed.
_DRAW = b"labels"

Key = tuple[str, int]


def draw_fraction(
    keys: Sequence[Key], percent: int, by: Literal["scene", "image"], seed: int
) -> list[int]:
    """Frames of a part of the labels; each part holds every smaller one of the same seed.

    Args:
        keys: (scene, frame id) of the labelled training frames, scene by scene.
        percent: Largest share of the frames.
        by: `scene`: whole scenes in a random order, as long as their frames fit into the share;
            `image`: frames in a random order.
        seed: Of the order.

    Returns:
        Indices into `keys`, increasing, at least one.

    Raises:
        ArtifactError: nothing fits into the share.

    Source: Pri3D's lists (spec D.1), by scene, in the order of scannetv2_train.txt. Deviation: a
        seeded order; a scene that reaches the share exactly is taken.
    """
    limit = percent * len(keys) // 100
    rows = range(len(keys))
    if by == "image":
        groups = [[row] for row in rows]
    else:
        groups = [list(group) for _, group in groupby(rows, key=lambda row: keys[row][0])]
    order = np.random.default_rng([seed, *_DRAW]).permutation(len(groups))
    ends = np.cumsum([len(groups[index]) for index in order])
    drawn = order[: np.searchsorted(ends, limit, side="right")]
    if not len(drawn):
        raise ArtifactError(
            f"{percent} % of {len(keys)} labelled training frames are {limit}, too few for one "
            f"{by}; use a larger percentage in label_fractions.percents"
            + (", or label_fractions.by: image" if by == "scene" else "")
        )
    return sorted(row for index in drawn for row in groups[index])


def describe_frames(keys: Sequence[Key]) -> dict[str, Any]:
    """Number of frames and, under "scenes", the ids of each scene's, for a list on disk."""
    scenes: dict[str, list[int]] = {}
    for scene, frame_id in sorted(keys):
        scenes.setdefault(scene, []).append(frame_id)
    return {"n_frames": len(keys), "scenes": scenes}
