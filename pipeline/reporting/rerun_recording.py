"""One scene as a recording for rerun's viewer (`rerun FILE.rrd`); needs the extra `rerun`.

Entities, metres in the dataset's world:
    world/voxels                 points, mean colour
    world/segments/k_K           mesh, a colour a segment, for each k
    world/path                   camera centres in recording order
    world/camera                 pose, on the timeline `frame_id`; cleared where a frame is skipped
    world/camera/image           pinhole; below it `color` and `depth`
    world/pair/matches           lines: centre of a, point seen by a, the one by b, centre of b
    world/pair/a, world/pair/b   the cameras of the pair, with `image/color` and `image/matches`
    frames                       log of the frames that are skipped, or used with a warning
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rerun as rr
import rerun.blueprint as rrb
from jaxtyping import Float, Float64, Int

from pipeline.atomic import WriteError, atomic_path
from pipeline.data.store import StoredFrame
from pipeline.geometry.camera import backproject, transform
from pipeline.reporting.scene_contents import SceneContents
from pipeline.reporting.scene_views import (
    distinct_colours,
    segment_colours,
    spread_points,
    up_axis,
)

TIMELINE = "frame_id"
N_MATCHES = 60
_FRUSTUM_M = 0.25


def _log_camera(
    recording: rr.RecordingStream, entity: str, frame: StoredFrame, jpeg: bytes, static: bool
) -> None:
    """Pose, pinhole and colour of a frame below an entity.

    K is logged as it is stored: rerun back-projects depth at whole pixels, as `camera.backproject`
    does, though its 2D views put a pixel's centre at + 0.5.
    """
    pose, (height, width) = frame.T_world_camera, frame.depth.shape
    recording.log(
        entity, rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3]), static=static
    )
    recording.log(
        f"{entity}/image",
        rr.Pinhole(
            image_from_camera=frame.K,
            resolution=[width, height],
            camera_xyz=rr.ViewCoordinates.RDF,
            image_plane_distance=_FRUSTUM_M,
        ),
        static=static,
    )
    image = rr.EncodedImage(contents=jpeg, media_type="image/jpeg")
    recording.log(f"{entity}/image/color", image, static=static)


def _log_frames(recording: rr.RecordingStream, contents: SceneContents) -> None:
    """All frames on the timeline, also the skipped ones."""
    parquet = contents.open("frames")
    for group in range(parquet.num_row_groups):  # one frame each
        columns = ["frame_id", "status", "reason", "color"]
        (row,) = parquet.read_row_group(group, columns=columns).to_pylist()
        recording.set_time(TIMELINE, sequence=row["frame_id"])
        if row["reason"]:
            text = f"frame {row['frame_id']}, {row['status']}: {row['reason']}"
            recording.log("frames", rr.TextLog(text, level="WARN"))
        if row["status"] != "ok":
            # Else viewers go on showing the frame before (0.41 does, for encoded colour).
            for kind in ("color", "depth"):
                recording.log(f"world/camera/image/{kind}", rr.Clear(recursive=False))
            continue
        frame = contents.frame(row["frame_id"])
        _log_camera(recording, "world/camera", frame, row["color"], static=False)
        depth_mm = np.rint(frame.depth * 1000).astype(np.uint16)
        recording.log("world/camera/image/depth", rr.DepthImage(depth_mm, meter=1000.0))
    recording.reset_time()


def _log_surfaces(
    recording: rr.RecordingStream, contents: SceneContents, k_values: Sequence[float]
) -> None:
    """Voxels as points of half their size, segments as coloured meshes."""
    voxels = contents.voxels()
    size_m = float(contents.metadata("voxels")["voxel_size_m"])
    points = rr.Points3D(voxels.xyz_world, colors=voxels.rgb, radii=size_m / 2)
    recording.log("world/voxels", points, static=True)
    mesh = contents.mesh()
    for k in k_values:
        colours = segment_colours(contents.segments(k, "vertex"))
        surface = rr.Mesh3D(
            vertex_positions=mesh.vertices, triangle_indices=mesh.faces, vertex_colors=colours
        )
        recording.log(_segments_entity(k), surface, static=True)


def _segments_entity(k: float) -> str:
    return f"world/segments/k_{k:g}"


def _points(
    frame: StoredFrame, pixel: Int[np.ndarray, " n"]
) -> tuple[Float64[np.ndarray, "n 2"], Float[np.ndarray, "n 3"]]:
    """Pixels in the viewer's convention, and the points that they show, world."""
    width = frame.depth.shape[1]
    xyz_camera = backproject(frame.depth, frame.K).reshape(-1, 3)[pixel]
    uv = np.stack([pixel % width, pixel // width], axis=1) + 0.5
    return uv, transform(frame.T_world_camera, xyz_camera)


def _log_pair(recording: rr.RecordingStream, contents: SceneContents, a: int, b: int) -> None:
    """A pair's cameras, and as many of its matches as can be told apart."""
    pixel_a, pixel_b = contents.match(a, b)
    width = contents.frame(a).depth.shape[1]
    shown = spread_points(np.stack([pixel_a % width, pixel_a // width], axis=1), N_MATCHES)
    colours = distinct_colours(len(shown))
    ends = []
    for view, frame_id, pixel in (("a", a, pixel_a[shown]), ("b", b, pixel_b[shown])):
        frame, entity = contents.frame(frame_id), f"world/pair/{view}"
        _log_camera(recording, entity, frame, contents.jpeg(frame_id), static=True)
        uv, xyz_world = _points(frame, pixel)
        matches = rr.Points2D(uv, colors=colours, radii=rr.components.Radius.ui_points(4))
        recording.log(f"{entity}/image/matches", matches, static=True)
        ends.append((frame.T_world_camera[:3, 3], xyz_world))
    (centre_a, seen_by_a), (centre_b, seen_by_b) = ends
    lines = [
        np.stack([centre_a, p, q, centre_b]) for p, q in zip(seen_by_a, seen_by_b, strict=True)
    ]
    thin = rr.components.Radius.ui_points(0.5)
    strips = rr.LineStrips3D(lines, colors=colours, radii=thin)
    recording.log("world/pair/matches", strips, static=True)


def _eye(contents: SceneContents) -> rrb.EyeControls3D:
    """Look down into the scene from above one of its sides: walls hide it from the outside."""
    xyz = contents.voxels().xyz_world
    axis, sign = up_axis(contents.poses[:, :3, :3])
    up, side = sign * np.eye(3)[axis], np.eye(3)[(axis + 1) % 3]
    centre = np.median(xyz, axis=0)
    reach_m = float(np.ptp(np.percentile(xyz, [2, 98], axis=0), axis=0).max())
    position = centre + reach_m * (up + 0.5 * side)
    return rrb.EyeControls3D(position=position, look_target=centre, eye_up=up)


def _blueprint(
    contents: SceneContents, k_values: Sequence[float], pair: tuple[int, int] | None
) -> rrb.Blueprint:
    """The scene in 3D at the left, a tab for the voxels and for each k; pictures at the right."""
    eye = _eye(contents)
    unsegmented = ["+ /world/**", "- /world/segments/**"]
    shown = {"voxels": unsegmented}
    for k in k_values:
        surface = f"+ /{_segments_entity(k)}"
        shown[f"k = {k:g}"] = [
            *unsegmented, "- /world/voxels", "- /world/camera/image/depth", surface
        ]  # fmt: skip
    views = [
        rrb.Spatial3DView(origin="/world", contents=entities, name=name, eye_controls=eye)
        for name, entities in shown.items()
    ]
    pictures = {kind: f"/world/camera/image/{kind}" for kind in ("color", "depth")}
    rows = [pictures]
    if pair is not None:
        rows.append(
            {f"frame {i}": f"/world/pair/{v}/image" for v, i in zip("ab", pair, strict=True)}
        )
    flat = [
        rrb.Horizontal(
            *(rrb.Spatial2DView(origin=entity, name=name) for name, entity in row.items())
        )
        for row in rows
    ]
    log = rrb.TextLogView(origin="/frames", name="frames")
    return rrb.Blueprint(
        rrb.Horizontal(rrb.Tabs(*views), rrb.Vertical(*flat, log), column_shares=[3, 2]),
        rrb.TimePanel(timeline=TIMELINE),
        collapse_panels=True,
    )


def record_scene(
    path: Path, contents: SceneContents, pair: tuple[int, int] | None, k_values: Sequence[float]
) -> None:
    """Write cameras, images, depth, voxels, segments and a pair's matches as one recording.

    Args:
        path: .rrd file to write.
        contents: The scene.
        pair: Usable frames whose matches are shown; None for none.
        k_values: Segmentations shown, of `contents.k_values`.

    Raises:
        ArtifactError: a table or the mesh is missing or damaged.
        WriteError: the file cannot be written.
    """
    with atomic_path(path) as temporary:
        recording = rr.RecordingStream("rgbd_ssl_pipeline")
        recording.send_recording_name(contents.scene)
        recording.set_log_time_enabled(False)
        recording.set_log_tick_enabled(False)
        recording.save(temporary, default_blueprint=_blueprint(contents, k_values, pair))
        try:
            axis, sign = up_axis(contents.poses[:, :3, :3])
            up = f"RIGHT_HAND_{'XYZ'[axis]}_{'UP' if sign > 0 else 'DOWN'}"
            recording.log("world", getattr(rr.ViewCoordinates, up), static=True)
            _log_surfaces(recording, contents, k_values)
            centres = contents.poses[:, :3, 3]
            recording.log("world/path", rr.LineStrips3D([centres]), static=True)
            if pair is not None:
                _log_pair(recording, contents, *pair)
            _log_frames(recording, contents)
            recording.flush()
        except RuntimeError as error:  # rerun writes in a thread of its own
            raise WriteError(
                f"{path}: rerun could not write it ({error}); make room on that disk, then run "
                "the same again"
            ) from error
        finally:
            recording.disconnect()
