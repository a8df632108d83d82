"""What each pixel of a camera sees of a mesh."""

import numpy as np
from jaxtyping import Float32, Float64, Int32

from pipeline.geometry.camera import backproject


class RayCaster:
    """Rays of cameras against one mesh.

    Args:
        vertices: float32 (V, 3), metres, world.
        faces: int32 (F, 3), rows of the vertices.

    Source: Embree by Open3D's RaycastingScene (geometry_reference.md section 2).
    """

    def __init__(self, vertices: Float32[np.ndarray, "v 3"], faces: Int32[np.ndarray, "f 3"]):
        # Importing Open3D takes seconds, and only this option needs it here.
        import open3d as o3d

        self._tensor = o3d.core.Tensor.from_numpy
        self._faces = faces
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        self._scene.add_triangles(
            self._tensor(np.ascontiguousarray(vertices)),
            self._tensor(np.ascontiguousarray(faces, np.uint32)),
        )

    def visible_vertices(
        self,
        K: Float64[np.ndarray, "3 3"],
        T_world_camera: Float64[np.ndarray, "4 4"],
        size: tuple[int, int],
    ) -> tuple[Int32[np.ndarray, " n"], Int32[np.ndarray, " n"]]:
        """The vertex that each pixel shows.

        Args:
            K: float64 (3, 3), pixels at `size`.
            T_world_camera: float64 (4, 4), camera-to-world, metres.
            size: height, width, pixels.

        Returns:
            pixel: int32 (N,), flat indices v * width + u of the pixels whose ray, from the camera
                through the pixel's centre, meets the mesh, ascending.
            vertex: int32 (N,), of the first face met the vertex with the most weight there.
        """
        if not len(self._faces):
            return np.empty(0, np.int32), np.empty(0, np.int32)
        directions = backproject(np.ones(size, np.float32), K) @ T_world_camera[:3, :3].T
        origins = np.broadcast_to(T_world_camera[:3, 3], directions.shape)
        rays = np.concatenate([origins, directions], axis=-1).astype(np.float32)
        found = self._scene.cast_rays(self._tensor(rays.reshape(-1, 6)), nthreads=1)
        pixel = np.flatnonzero(np.isfinite(found["t_hit"].numpy())).astype(np.int32)
        face = found["primitive_ids"].numpy()[pixel].astype(np.int64)
        second, third = found["primitive_uvs"].numpy()[pixel].T
        corner = np.stack([1 - second - third, second, third]).argmax(axis=0)
        return pixel, self._faces[face, corner]
