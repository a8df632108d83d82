"""What the checks make of stored values: views, voxels, numbers of metadata, lists of pixels."""

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Float64, Int32, Int64

from pipeline.geometry.camera import valid_depth


@dataclass(frozen=True)
class View:
    """Geometry of one usable frame: depth float32 (H, W) in metres, K and pose."""

    depth: Float32[np.ndarray, "h w"]
    K: Float64[np.ndarray, "3 3"]
    T_world_camera: Float64[np.ndarray, "4 4"]

    @property
    def nbytes(self) -> int:
        """Bytes of the depth."""
        return self.depth.nbytes

    def camera_points(self, pixel: Int32[np.ndarray, " n"]) -> Float64[np.ndarray, "n 3"]:
        """Back-projected pixels, float64 (N, 3), metres; NaN where there is no depth."""
        v, u = np.divmod(pixel, self.depth.shape[1])
        z = self.depth.reshape(-1)[pixel].astype(np.float64)
        z[~valid_depth(z)] = np.nan
        x = (u - self.K[0, 2]) / self.K[0, 0] * z
        return np.stack([x, (v - self.K[1, 2]) / self.K[1, 1] * z, z], axis=1)


@dataclass(frozen=True)
class StoredVoxels:
    """What the voxels table says: coords int32 (M, 3), and what places them, in metres."""

    coords: Int32[np.ndarray, "m 3"]
    voxel_size_m: float
    grid_origin: Float64[np.ndarray, "3"]

    def __len__(self) -> int:
        return len(self.coords)


def numbers(values: object, *shape: int) -> Float64[np.ndarray, "..."]:
    """Numbers as a float64 array of a shape.

    Raises:
        ValueError, TypeError: there are none, or others.
    """
    return np.array(values, np.float64).reshape(shape)


def ragged(column: pa.ChunkedArray) -> tuple[Int64[np.ndarray, " n"], Int32[np.ndarray, " m"]]:
    """Lengths of the lists of a column without nulls, and their int32 values one after another."""
    lists = column.combine_chunks()
    return np.diff(lists.offsets.to_numpy()).astype(np.int64), lists.flatten().to_numpy()


def positive(text: str) -> float:
    """A length or share in metadata.

    Raises:
        ValueError: it is not a finite number above 0.
    """
    if not 0 < (value := float(text)) < math.inf:
        raise ValueError(f"{text} is not positive")
    return value
