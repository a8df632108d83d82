"""Surface voxels to measure on: a procedural room, recorded by the virtual Kinect and fused."""

import numpy as np
import torch
from torch import Tensor

from pipeline.config import Rooms
from pipeline.geometry.voxels import voxelize
from pipeline.scenes.recording import record_room

#: The papers' voxel, and frames enough to see all of the room.
VOXEL_SIZE_M, N_FRAMES = 0.02, 40
#: Voxels by which successive cuts of the room differ.
STEP = 500


class RoomVoxels:
    """Equally many voxels of one room, a little further along it each time.

    As in training, no two batches have the same kernel maps, so that nothing which a library
    remembers of their shapes helps more than there.
    """

    def __init__(self) -> None:
        mesh = record_room(Rooms(mesh_voxel_size_m=VOXEL_SIZE_M, frames_per_room=N_FRAMES), 0).mesh
        voxels = voxelize(mesh.vertices, mesh.rgb, VOXEL_SIZE_M)
        self._coords = np.insert(voxels.coords, 0, 0, axis=1)
        self._rgb = voxels.rgb

    def cut(self, index: int, n: int) -> tuple[Tensor, Tensor]:
        """Cut number `index`: int32 (n, 4) coordinates and float32 (n, 3) colours.

        Raises:
            ValueError: the room has fewer voxels.
        """
        start = STEP * index
        if start + n > len(self._coords):
            raise ValueError(f"cut {index} of {n} voxels is beyond the room's {len(self._coords)}")
        rgb = self._rgb[start : start + n].astype(np.float32) / 255
        return torch.from_numpy(self._coords[start : start + n]), torch.from_numpy(rgb)
