"""Label maps: raw label ids of a dataset -> classes 0..n-1, 255 ignored."""

from typing import Literal

import numpy as np
from jaxtyping import Int32, UInt8, UInt16

#: The ignore label on disk.
IGNORE = 255
#: set_source of the sets that come from the labels of the mesh.
LABELS = "labels"

#: NYU40 id -> name of ScanNet's 20 benchmark classes, in the benchmark's order (spec D.1).
SCANNET20 = {
    **{1: "wall", 2: "floor", 3: "cabinet", 4: "bed", 5: "chair", 6: "sofa", 7: "table"},
    **{8: "door", 9: "window", 10: "bookshelf", 11: "picture", 12: "counter", 14: "desk"},
    **{16: "curtain", 24: "refrigerator", 28: "shower curtain", 33: "toilet", 34: "sink"},
    **{36: "bathtub", 39: "other furniture"},
}
SCANNET20_NAMES = tuple(SCANNET20.values())


#: `scannet20`, or the raw ids of the classes 0, 1, ...
LabelMap = Literal["scannet20"] | list[int]


def _raw_ids(label_map: LabelMap) -> list[int]:
    """Raw id of each class."""
    return list(SCANNET20) if label_map == "scannet20" else list(label_map)


def map_labels(
    label: UInt16[np.ndarray, "*shape"], label_map: LabelMap
) -> UInt8[np.ndarray, "*shape"]:
    """Classes of raw label ids.

    Args:
        label: uint16, any shape, raw ids (NYU40 for ScanNet).
        label_map: `scannet20`, or the raw ids of the classes 0, 1, ...; at most 255.

    Returns:
        uint8 of the same shape: 0..n-1, or 255 for ids without a class.

    Source: spec D.1 (Pri3D counts from 1 with 0 ignored; here 0..19 and 255, as in D.2).
    """
    ids = _raw_ids(label_map)
    table = np.full(1 << 16, IGNORE, np.uint8)
    table[ids] = np.arange(len(ids))
    return table[label]


def label_sets(
    label: UInt8[np.ndarray, "*shape"] | UInt16[np.ndarray, "*shape"],
) -> Int32[np.ndarray, "*shape"]:
    """Classes as sets: int32 of the same shape, -1 where the label is ignored."""
    return np.where(label == IGNORE, -1, label.astype(np.int32))


def class_names(label_map: LabelMap) -> tuple[str, ...]:
    """Names of the classes 0..n-1."""
    if label_map == "scannet20":
        return SCANNET20_NAMES
    return tuple(f"label {raw_id}" for raw_id in label_map)
