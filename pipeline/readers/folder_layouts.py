"""The datasets whose scenes are folders of pictures: where their files are."""

from pipeline.readers.folders import FilePattern, FolderLayout

_MATRIX = "4x4 text, camera-to-world, metres"
_DEPTH = "16-bit, millimetres, 0 and 65535 invalid"


def _numbered(folder: str, extensions: str) -> FilePattern:
    shown = f"{folder}/NUMBER.{extensions}"
    return FilePattern(folder, rf"(\d{{1,9}})\.(?:{extensions})", shown)


SCANNET_EXPORTED = FolderLayout(
    color=_numbered("color", "jpg|png"),
    depth=_numbered("depth", "png"),
    pose=_numbered("pose", "txt"),
    intrinsics="intrinsic/intrinsic_depth.txt",
    tree=f"""\
RAW/
  SCENE/                          as written by ScanNet's SensReader
    color/0.jpg                   bare frame numbers; jpg or png
    depth/0.png                   {_DEPTH}
    pose/0.txt                    {_MATRIX}
    intrinsic/intrinsic_depth.txt 4x4
""",
)

SCANNET_FRAMES_25K = FolderLayout(
    color=_numbered("color", "jpg|png"),
    depth=_numbered("depth", "png"),
    pose=_numbered("pose", "txt"),
    label=_numbered("label", "png"),
    labels_required=True,
    intrinsics="intrinsics_depth.txt",
    tree=f"""\
RAW/                              scannet_frames_25k/ of the download
  SCENE/
    color/000000.jpg
    depth/000000.png              {_DEPTH}
    label/000000.png              8-bit NYU40 ids, 0 none
    instance/000000.png           not read
    pose/000000.txt               {_MATRIX}
    intrinsics_depth.txt          4x4
    intrinsics_color.txt          4x4, not read
""",
)

POSED_FOLDER = FolderLayout(
    color=_numbered("color", "jpg|png"),
    depth=_numbered("depth", "png"),
    pose=_numbered("pose", "txt"),
    label=_numbered("label", "png"),
    intrinsics="intrinsics.txt",
    tree=f"""\
RAW/
  SCENE/
    color/000000.jpg              jpg or png, registered to the depth
    depth/000000.png              {_DEPTH}
    pose/000000.txt               {_MATRIX}
    label/000000.png              optional: 8 or 16-bit label ids, 0 none
    intrinsics.txt                3x3, of the depth
""",
)


def _seven_scenes(kind: str, extensions: str) -> FilePattern:
    name = rf"frame-(\d{{1,9}})\.{kind}\.(?:{extensions})"
    return FilePattern("", name, f"frame-NUMBER.{kind}.{extensions}")


SEVEN_SCENES = FolderLayout(
    color=_seven_scenes("color", "jpg|png"),
    depth=_seven_scenes("depth", "png"),
    pose=_seven_scenes("pose", "txt"),
    intrinsics="intrinsics.txt",
    sequence=r"seq-\d+",
    tree=f"""\
RAW/
  SCENE/                          one scene SCENE; or SCENE/seq-01/, .. : scenes SCENE_seq-01, ..
    frame-000000.color.png        jpg or png
    frame-000000.depth.png        {_DEPTH}
    frame-000000.pose.txt         {_MATRIX}
    intrinsics.txt                3x3; may stand in any folder above, up to RAW. The download has
                                  none; usual: 585 0 320 / 0 585 240 / 0 0 1
""",
)
