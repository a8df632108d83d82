"""Colour, depth and instances of a view, by ray casting on the CPU (no GPU, no display)."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, Float32, Float64, Int32

from pipeline.scenes.assembly import Triangles
from pipeline.scenes.rooms import Light
from pipeline.scenes.shading_kernels import blend
from pipeline.scenes.textures import TEXTURES, face_plane

#: Ambient occlusion looks this far, metres.
_OCCLUSION_REACH_M = 0.5
_OCCLUSION_RAYS = 8
#: Shadow rays go to random places in a ball of this radius around a light, metres.
_LIGHT_RADIUS_M = 0.12
_SHADOW_RAYS = 3
#: Light is traced at every n-th pixel in both directions.
_STEP = 3
#: Rays start this far off a surface, metres.
_OFFSET_M = 2e-3


@dataclass(frozen=True)
class View:
    """What a pinhole camera sees, one entry per pixel, row major.

    Attributes:
        depth: float32 (H, W), metres along z; 0 where nothing is hit.
        face: int32 (H, W), index of the triangle; -1 where nothing is hit.
        uv: float32 (H, W, 2), weights of the triangle's second and third corner.
        cosine: float32 (H, W), between the triangle's normal and the direction to the camera.
        xyz: float32 (H, W, 3), metres, room.
        to_camera: float32 (H, W, 3), unit vector towards the camera.
    """

    depth: Float32[np.ndarray, "h w"]
    face: Int32[np.ndarray, "h w"]
    uv: Float32[np.ndarray, "h w 2"]
    cosine: Float32[np.ndarray, "h w"]
    xyz: Float32[np.ndarray, "h w 3"]
    to_camera: Float32[np.ndarray, "h w 3"]


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Scalar products along the last axis; numpy's sum over so short an axis is slow."""
    return np.einsum("...i,...i->...", a, b)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.sqrt(np.maximum(_dot(vectors, vectors), 1e-12))[..., None]


def _tensor(array: np.ndarray) -> Any:
    from open3d.core import Tensor

    return Tensor(array)  # type: ignore[call-overload]


class Renderer:
    """Casts rays into one room.

    Args:
        triangles: The room.
        lights: Lamps and windows.
        ambient: float64 (3,), linear RGB of the light from everywhere.
    """

    def __init__(
        self, triangles: Triangles, lights: list[Light], ambient: Float64[np.ndarray, "3"]
    ) -> None:
        # Importing Open3D takes seconds.
        from open3d.t.geometry import RaycastingScene

        self._scene = RaycastingScene(nthreads=1)
        self._scene.add_triangles(
            _tensor(triangles.vertices), _tensor(triangles.faces.astype(np.uint32))
        )
        self.triangles = triangles
        self._lights = lights
        self._ambient = ambient.astype(np.float32)
        materials = triangles.materials
        self._texture = np.array([list(TEXTURES).index(m.texture) for m in materials])
        self._colours = np.array([m.colours for m in materials], np.float32)
        self._size = np.array([m.size_m for m in materials], np.float32)
        self._seed = np.array([m.seed for m in materials], np.int64)
        self._emission = np.array([m.emission for m in materials], np.float32)
        self.is_glass = np.array([m.is_glass for m in materials])

    def _rays(self, origin: np.ndarray, direction: np.ndarray) -> Any:
        """Open3D's tensor of rays: origin and direction, broadcast against each other."""
        rays = np.empty((*direction.shape[:-1], 6), np.float32)
        rays[..., :3], rays[..., 3:] = origin, direction
        return _tensor(rays)

    def cast(
        self,
        K: Float64[np.ndarray, "3 3"],
        size: tuple[int, int],
        T_room_camera: Float64[np.ndarray, "4 4"],
    ) -> View:
        """Cast one ray through every pixel centre.

        Args:
            K: float64 (3, 3), pixels; integer coordinates are pixel centres.
            size: Height, width in pixels.
            T_room_camera: float64 (4, 4), metres.

        Returns:
            The view.
        """
        # With z = 1 in the camera's frame, the ray's parameter is the depth along z.
        local = np.ones((*size, 3), np.float32)
        local[..., 0] = (np.arange(size[1]) - K[0, 2]) / K[0, 0]
        local[..., 1] = ((np.arange(size[0]) - K[1, 2]) / K[1, 1])[:, None]
        direction = local @ T_room_camera[:3, :3].T.astype(np.float32)
        origin = T_room_camera[:3, 3].astype(np.float32)
        hits = self._scene.cast_rays(self._rays(origin, direction))
        depth = hits["t_hit"].numpy()
        hit = np.isfinite(depth)
        depth = np.where(hit, depth, np.float32(0))
        to_camera = _unit(-direction)
        return View(
            depth=depth,
            face=np.where(hit, hits["primitive_ids"].numpy().view(np.int32), np.int32(-1)),
            uv=hits["primitive_uvs"].numpy(),
            cosine=np.abs(_dot(hits["primitive_normals"].numpy(), to_camera)),
            xyz=origin + depth[..., None] * direction,
            to_camera=to_camera,
        )

    def normals(self, view: View) -> Float32[np.ndarray, "h w 3"]:
        """Shading normals, turned towards the camera."""
        normal = blend(self.triangles.normal, view.face.reshape(-1), view.uv.reshape(-1, 2))
        normal = normal.reshape(view.xyz.shape)
        facing = np.where(_dot(normal, view.to_camera) < 0, np.float32(-1), np.float32(1))
        return _unit(normal) * facing[..., None]

    def albedo(self, view: View) -> Float32[np.ndarray, "h w 3"]:
        """Texture colours, sRGB in 0..1."""
        face = view.face.reshape(-1)
        place = blend(self.triangles.place, face, view.uv.reshape(-1, 2))
        uv = face_plane(place, self.triangles.flat_normal[face])
        part = self.triangles.part[face]
        kind = self._texture[part]
        colour = np.zeros((len(face), 3), np.float32)
        for number, texture in enumerate(TEXTURES.values()):
            pixels = np.flatnonzero(kind == number)
            if len(pixels):
                p = part[pixels]
                colour[pixels] = texture(
                    place[pixels], uv[pixels], self._colours[p], self._size[p], self._seed[p]
                )
        return np.clip(colour, 0, 1).reshape(view.xyz.shape)

    def radiance(self, rng: np.random.Generator, view: View) -> Float32[np.ndarray, "h w 3"]:
        """Linear light that reaches the camera.

        Args:
            rng: Places shadow and occlusion rays.
            view: From `cast`.

        Returns:
            float32 (H, W, 3), linear RGB; a white wall in full ambient light is about 1.
        """
        normal = self.normals(view)
        # Openness and shadows vary slowly: found at every third pixel and interpolated.
        coarse_normal, coarse_xyz = normal[::_STEP, ::_STEP], view.xyz[::_STEP, ::_STEP]
        start = coarse_xyz + coarse_normal * np.float32(_OFFSET_M)
        height, width = view.depth.shape
        openness = self._openness(rng, start, coarse_normal)
        light = _enlarge(openness, (height, width))[..., None] * self._ambient
        # More light comes from above than from the floor.
        light = light * (np.float32(0.8) + np.float32(0.3) * normal[..., 2:])
        for lamp in self._lights:
            visible = _enlarge(self._visibility(rng, start, lamp), (height, width))
            away = lamp.position.astype(np.float32) - view.xyz
            squared = _dot(away, away)
            cosine = _dot(away, normal) / np.sqrt(squared)
            strength = visible * np.clip(cosine, 0, None) / (squared + np.float32(0.4))
            light = light + strength[..., None] * lamp.power.astype(np.float32)
        emission = self._emission[self.triangles.part[view.face]][..., None]
        albedo = self.albedo(view) ** 2
        lit = albedo * (light * (1 - emission) + emission * np.float32(1.4))
        return np.where(view.face[..., None] >= 0, lit, 0).astype(np.float32)

    def _openness(
        self, rng: np.random.Generator, start: np.ndarray, normal: np.ndarray
    ) -> Float32[np.ndarray, "h w"]:
        """Share of the half sphere over each place that is open nearby."""
        # A unit vector plus a random one is distributed by the cosine law.
        direction = _unit(rng.standard_normal((_OCCLUSION_RAYS, *start.shape), dtype=np.float32))
        direction = _unit(direction + normal * np.float32(1.001))
        blocked = self.occluded(start, direction, _OCCLUSION_REACH_M)
        return cv2.blur(1 - blocked.mean(0, dtype=np.float32), (3, 3))

    def _visibility(
        self, rng: np.random.Generator, start: np.ndarray, lamp: Light
    ) -> Float32[np.ndarray, "h w"]:
        jitter = rng.standard_normal((_SHADOW_RAYS, *start.shape), dtype=np.float32)
        target = lamp.position.astype(np.float32) + jitter * np.float32(_LIGHT_RADIUS_M)
        blocked = self.occluded(start, target - start, 0.97)
        return cv2.blur(1 - blocked.mean(0, dtype=np.float32), (3, 3))

    def occluded(
        self, origin: Float[np.ndarray, "..."], direction: Float[np.ndarray, "..."], reach: float
    ) -> np.ndarray:
        """Whether anything lies on the rays within `reach` times their direction; bool (...)."""
        return self._scene.test_occlusions(self._rays(origin, direction), 1e-4, reach).numpy()

    def nearest_instance(self, xyz: Float32[np.ndarray, "n 3"]) -> Int32[np.ndarray, " n"]:
        """Instance of the surface nearest to each point (metres, room)."""
        answer = self._scene.compute_closest_points(_tensor(np.ascontiguousarray(xyz)), 1)
        return self.triangles.instance[answer["primitive_ids"].numpy().astype(np.int64)]


def _enlarge(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The full resolution, aligned with the pixels that `image` was computed at."""
    rows, columns = (np.arange(n, dtype=np.float32) / np.float32(_STEP) for n in size)
    return cv2.remap(
        image,
        np.broadcast_to(columns, size).copy(),
        np.broadcast_to(rows[:, None], size).copy(),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def expose(
    rng: np.random.Generator, radiance: Float32[np.ndarray, "h w 3"], exposure: float
) -> np.ndarray:
    """The photograph: exposure, highlights, gamma, vignette, blur of the lens and noise.

    Args:
        rng: Source of the noise and of the drifting white balance.
        radiance: float32 (H, W, 3), linear RGB.
        exposure: Factor on the light.

    Returns:
        uint8 (H, W, 3), sRGB.
    """
    height, width = radiance.shape[:2]
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    vignette = (1 - 0.12 * (x**2 + y**2)).astype(np.float32)
    balance = np.exp(rng.normal(0, 0.02, 3)).astype(np.float32)
    light = cv2.GaussianBlur(radiance, (3, 3), 0.55) * vignette[..., None] * (exposure * balance)
    image = np.sqrt(1 - np.exp(-light))
    image += rng.standard_normal(image.shape, dtype=np.float32) * np.float32(0.012)
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
