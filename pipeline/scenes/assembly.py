"""All objects of a room as one triangle soup with what shading and labels need per triangle."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32

from pipeline.scenes.materials import Material
from pipeline.scenes.placement import Placed
from pipeline.scenes.solids import corner_normals


@dataclass(frozen=True)
class Triangles:
    """Triangles of a room, metres, room frame.

    Attributes:
        vertices: float32 (V, 3).
        faces: int32 (F, 3), vertex indices.
        part: int32 (F,), index into `materials`.
        place: float32 (F, 3, 3), corners in the frame of their object: where textures live.
        flat_normal: float32 (F, 3), unit normal in the frame of the object.
        normal: float32 (F, 3, 3), shading normals of the corners in the room's frame.
        instance: int32 (F,), index into `categories`.
        materials: one per part.
        categories: raw ScanNet category of each instance.
    """

    vertices: Float32[np.ndarray, "v 3"]
    faces: Int32[np.ndarray, "f 3"]
    part: Int32[np.ndarray, " f"]
    place: Float32[np.ndarray, "f 3 3"]
    flat_normal: Float32[np.ndarray, "f 3"]
    normal: Float32[np.ndarray, "f 3 3"]
    instance: Int32[np.ndarray, " f"]
    materials: list[Material]
    categories: list[str]


def assemble(placed: list[Placed]) -> Triangles:
    """Join the parts of all placed items.

    Args:
        placed: Items with their poses in the room.

    Returns:
        The triangles; instance ids follow the order of `placed`.
    """
    vertices, faces, places, flats, normals, part_of, instance_of = ([] for _ in range(7))
    materials: list[Material] = []
    offset = 0
    for instance, one in enumerate(placed):
        rotation = one.T_room_item[:3, :3].astype(np.float32)
        shift = one.T_room_item[:3, 3].astype(np.float32)
        for part in one.item.parts:
            solid = part.solid
            place = solid.vertices[solid.faces]
            flat = np.cross(place[:, 1] - place[:, 0], place[:, 2] - place[:, 0])
            area = np.linalg.norm(flat, axis=1, keepdims=True)
            vertices.append(solid.vertices @ rotation.T + shift)
            faces.append(solid.faces + offset)
            places.append(place)
            flats.append(flat / np.maximum(area, 1e-12))
            normals.append(corner_normals(solid) @ rotation.T)
            part_of.append(np.full(len(solid.faces), len(materials)))
            instance_of.append(np.full(len(solid.faces), instance))
            materials.append(part.material)
            offset += len(solid.vertices)
    return Triangles(
        vertices=np.concatenate(vertices).astype(np.float32),
        faces=np.concatenate(faces).astype(np.int32),
        part=np.concatenate(part_of).astype(np.int32),
        place=np.concatenate(places).astype(np.float32),
        flat_normal=np.concatenate(flats).astype(np.float32),
        normal=np.concatenate(normals).astype(np.float32),
        instance=np.concatenate(instance_of).astype(np.int32),
        materials=materials,
        categories=[one.item.category for one in placed],
    )
