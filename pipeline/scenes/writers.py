"""Writes a recording as ScanNet ships its scans, annotations and labelled frames.

RAW/
  scannetv2-labels.combined.tsv
  splits/scannetv2_{train,val}.txt
  scans/SCENE/SCENE.sens, SCENE.txt, SCENE.aggregation.json, SCENE_vh_clean_2.ply,
              SCENE_vh_clean_2.labels.ply, SCENE_vh_clean_2.0.010000.segs.json
  scannet_frames_25k/SCENE/{color,depth,label,instance,pose}/000000.*, intrinsics_*.txt
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int32, UInt16

from pipeline.atomic import write_bytes, write_text
from pipeline.geometry.mesh import write_ply
from pipeline.geometry.oversegmentation import oversegment
from pipeline.readers.imaging import encode_jpeg, encode_png
from pipeline.scenes.categories import NYU40_COLOURS, NYU40_IDS, label_table
from pipeline.scenes.recording import RecordedFrame, Recording
from pipeline.scenes.sens_writer import JPEG_QUALITY, write_sens

#: The Segmentator's defaults, with which ScanNet ships segments; the file name shows K.
SEGMENT_K, SEGMENT_MIN_VERTICES = 0.01, 20


def room_files(raw_dir: Path, scene: str) -> list[Path]:
    """Every file of `scans/` that `write_recording` makes for a scene."""
    stem = raw_dir / "scans" / scene / scene
    endings = (
        ".sens",
        ".txt",
        ".aggregation.json",
        "_vh_clean_2.ply",
        "_vh_clean_2.labels.ply",
        f"_vh_clean_2.{SEGMENT_K:f}.segs.json",
    )
    return [stem.with_name(scene + ending) for ending in endings]


def write_splits(raw_dir: Path, train: list[str], validation: list[str]) -> None:
    """Write the split lists and the table of categories, atomically."""
    for name, scenes in (("train", train), ("val", validation)):
        text = "".join(f"{scene}\n" for scene in scenes)
        write_text(raw_dir / "splits" / f"scannetv2_{name}.txt", text)
    write_text(raw_dir / "scannetv2-labels.combined.tsv", label_table())


def write_recording(raw_dir: Path, scene: str, recording: Recording, labelled_stride: int) -> None:
    """Write one scene in ScanNet's raw format.

    Args:
        raw_dir: Root of the raw tree.
        scene: Name of the scene.
        recording: What is written.
        labelled_stride: Every n-th frame goes to scannet_frames_25k.

    Raises:
        OSError: a folder cannot be written to.

    Source: ScanNet's data organisation; spec pri3d_family.md A.1, B.1, D.1, D.4.
    """
    sens, text, aggregation, mesh_ply, labels_ply, segs = room_files(raw_dir, scene)
    mesh = recording.mesh
    write_ply(mesh_ply, replace(mesh, label=None))
    palette = np.array(NYU40_COLOURS, np.uint8)
    write_ply(labels_ply, replace(mesh, rgb=palette[mesh.label]))
    segment_id = oversegment(mesh.vertices, mesh.faces, SEGMENT_K, SEGMENT_MIN_VERTICES)
    write_text(segs, segments_json(scene, segment_id))
    groups = aggregate(segment_id, recording.vertex_instance)
    write_text(aggregation, aggregation_json(scene, segs.name, groups, recording.categories))
    write_text(text, scene_text(recording))
    folder = raw_dir / "scannet_frames_25k" / scene
    for name, K in (("color", recording.K_color), ("depth", recording.K_depth)):
        intrinsic = np.eye(4)
        intrinsic[:3, :3] = K
        write_text(folder / f"intrinsics_{name}.txt", _matrix_text(intrinsic))
    ids = instance_ids(recording.categories)
    for number in range(0, len(recording.frames), labelled_stride):
        _write_labelled(folder, number, recording.frames[number], ids)
    # Last: it is what readers look for, so a scene that has it is complete.
    frames = [(f.color, f.depth_raw, f.T_world_camera) for f in recording.frames]
    write_sens(sens, frames, recording.K_color, recording.K_depth)


def _write_labelled(
    folder: Path, number: int, frame: RecordedFrame, ids: UInt16[np.ndarray, " i"]
) -> None:
    instance = np.where(frame.instance >= 0, ids[frame.instance], 0).astype(np.uint16)
    pictures = {
        f"color/{number:06d}.jpg": encode_jpeg(frame.color, JPEG_QUALITY),
        f"depth/{number:06d}.png": encode_png(frame.depth_raw),
        f"label/{number:06d}.png": encode_png((instance // 1000).astype(np.uint8)),
        f"instance/{number:06d}.png": encode_png(instance),
    }
    for name, data in pictures.items():
        write_bytes(folder / name, data)
    write_text(folder / f"pose/{number:06d}.txt", _matrix_text(frame.T_world_camera))


def instance_ids(categories: list[str]) -> UInt16[np.ndarray, " i"]:
    """Values of the instance PNG: NYU40 id x 1000 + number among the instances of that id, from 1.

    Source: spec pri3d_family.md D.4.
    """
    count: dict[int, int] = {}
    ids = []
    for category in categories:
        nyu40 = NYU40_IDS[category]
        count[nyu40] = count.get(nyu40, 0) + 1
        ids.append(nyu40 * 1000 + count[nyu40])
    return np.array(ids, np.uint16)


def aggregate(
    segment_id: Int32[np.ndarray, " v"], vertex_instance: Int32[np.ndarray, " v"]
) -> dict[int, list[int]]:
    """Segments of each instance, by the majority of the segment's vertices.

    Args:
        segment_id: int32 (V,), 0..S-1.
        vertex_instance: int32 (V,), instance of each vertex.

    Returns:
        Instance -> sorted segments; instances without any are left out.
    """
    n_instances = int(vertex_instance.max()) + 1
    pairs = segment_id.astype(np.int64) * n_instances + vertex_instance
    votes = np.bincount(pairs, minlength=(int(segment_id.max()) + 1) * n_instances)
    winner = votes.reshape(-1, n_instances).argmax(1)
    return {int(i): np.flatnonzero(winner == i).tolist() for i in np.unique(winner)}


def segments_json(scene: str, segment_id: Int32[np.ndarray, " v"]) -> str:
    """Text of a segs.json, as the Segmentator writes it."""
    content = {
        "params": {"kThresh": SEGMENT_K, "segMinVerts": SEGMENT_MIN_VERTICES},
        "sceneId": scene,
        "segIndices": segment_id.tolist(),
    }
    return json.dumps(content, separators=(",", ":"))


def aggregation_json(
    scene: str, segments_file: str, groups: dict[int, list[int]], categories: list[str]
) -> str:
    """Text of an aggregation.json."""
    content = {
        "sceneId": f"scannet.{scene}",
        "appId": "Aggregator.v2",
        "segGroups": [
            {"id": i, "objectId": i, "segments": groups[instance], "label": categories[instance]}
            for i, instance in enumerate(sorted(groups))
        ],
        "segmentsFile": f"scannet.{segments_file}",
    }
    return json.dumps(content, separators=(",", ":"))


def scene_text(recording: Recording) -> str:
    """Text of SCENE.txt: calibration, sizes, and the rotation that aligns the room."""
    color, depth = recording.frames[0].color, recording.frames[0].depth_raw
    n_frames = len(recording.frames)
    values: dict[str, object] = {
        "axisAlignment": " ".join(f"{value:.6f}" for value in recording.T_room_world.reshape(-1)),
        "colorHeight": color.shape[0],
        "colorToDepthExtrinsics": " ".join(f"{value:.6f}" for value in np.eye(4).reshape(-1)),
        "colorWidth": color.shape[1],
        "depthHeight": depth.shape[0],
        "depthWidth": depth.shape[1],
    }
    for axis, row in (("x", 0), ("y", 1)):
        for name, K in (("color", recording.K_color), ("depth", recording.K_depth)):
            values[f"f{axis}_{name}"] = f"{K[row, row]:.6f}"
            values[f"m{axis}_{name}"] = f"{K[row, 2]:.6f}"
    values |= {"numColorFrames": n_frames, "numDepthFrames": n_frames}
    values |= {"numIMUmeasurements": n_frames, "sceneType": recording.use}
    return "".join(f"{key} = {values[key]}\n" for key in sorted(values))


def _matrix_text(matrix: np.ndarray) -> str:
    return "".join(" ".join(f"{value:.6f}" for value in row) + "\n" for row in matrix)
