"""docs/artifacts.md from schemas.py, docs/params.schema.json from config.py, trees from readers."""

import json
import re
from collections.abc import Mapping

import pyarrow as pa

from pipeline import layout
from pipeline.config import Params
from pipeline.reporting.markdown import markdown_table
from pipeline.reporting.scene_summary import readable_type
from pipeline.schemas import SCHEMA_VERSION, SCHEMAS

#: Kind -> (what it holds, its row groups).
ABOUT = {
    "frames": (
        "Every frame of the scene after the frame stride, also those that are skipped: `status` "
        "and `reason` say why. Colour and depth are stored at the training size.",
        "one frame each",
    ),
    "voxels": (
        "The voxels of the scene's mesh, the input of the 3D network. "
        "`xyz_world` is the centre of the cell.",
        "one",
    ),
    "correspondences": (
        "Which pixel shows which voxel. `strict`: at most one row per pixel, its nearest voxel "
        "centre within the radius. `pri3d`: one row per voxel that passes the depth test, so a "
        "pixel can have several.",
        "one frame each",
    ),
    "segments": (
        "The oversegmentation of the mesh for every k, once per vertex of mesh.ply and once per "
        "voxel.",
        "one per k and element",
    ),
    "sets": (
        "The segments, and the labels where there are some, that each frame sees. A set's pixels "
        "are those whose voxel has its segment: join correspondences and segments.",
        "one frame each",
    ),
    "overlaps": ("The overlap of every pair of usable frames.", "one"),
    "labelled_frames": (
        "The labelled frames for finetuning and evaluation, with the label image where the "
        "dataset has one. Only for scenes that have labelled frames.",
        "one frame each",
    ),
}

QUERIES = """\
Which frames were skipped, and why (pandas):

```python
import pandas as pd

frames = pd.read_parquet(
    "data/artifacts/rooms/scene0000_00/frames.parquet", columns=["frame_id", "status", "reason"]
)
print(frames[frames.status != "ok"])
```

One frame, decoded, without reading the others:

```python
import cv2
import numpy as np
import pyarrow.parquet as pq

file = pq.ParquetFile("data/artifacts/rooms/scene0000_00/frames.parquet")
frame = file.read_row_group(0).to_pylist()[0]
color = cv2.imdecode(np.frombuffer(frame["color"], np.uint8), cv2.IMREAD_COLOR_RGB)
depth = np.frombuffer(frame["depth"], "<u2").reshape(frame["height"], frame["width"]) / 1000
T_world_camera = np.array(frame["T_world_camera"]).reshape(4, 4)
```

Frame pairs that pretraining uses, of all scenes (DuckDB):

```sql
SELECT filename, count(*) AS pairs, count(*) FILTER (overlap >= 0.3) AS kept
FROM read_parquet('data/artifacts/rooms/*/overlaps.parquet', filename = true)
GROUP BY filename ORDER BY filename
```

How many frames see each voxel:

```sql
SELECT voxel_index, any_value(xyz_world) AS xyz_world, count(DISTINCT frame_id) AS frames
FROM 'data/artifacts/rooms/scene0000_00/voxels.parquet'
LEFT JOIN 'data/artifacts/rooms/scene0000_00/correspondences.parquet' USING (voxel_index)
GROUP BY voxel_index ORDER BY frames DESC LIMIT 10
```

The largest segments of one frame, k = 0.01:

```sql
SELECT s.segment_id, count(DISTINCT c.pixel) AS pixels
FROM 'data/artifacts/rooms/scene0000_00/correspondences.parquet' AS c
JOIN 'data/artifacts/rooms/scene0000_00/segments.parquet' AS s
  ON s.vertex_index = c.voxel_index AND s.element = 'voxel' AND s.k = 0.01::FLOAT
WHERE c.frame_id = 0
GROUP BY s.segment_id ORDER BY pixels DESC LIMIT 10
```

Usable and skipped frames of a whole dataset (pandas on DuckDB's result):

```python
import duckdb

print(
    duckdb.sql(
        "SELECT status, count(*) AS frames FROM 'data/artifacts/rooms/*/frames.parquet' "
        "GROUP BY status ORDER BY frames DESC"
    ).df()
)
```
"""


def _columns(schema: pa.Schema) -> str:
    rows = [
        [
            f"`{field.name}`",
            readable_type(field.type) + (" or null" if field.nullable else ""),
            field.metadata[b"unit"].decode(),
            field.metadata[b"meaning"].decode(),
        ]
        for field in schema
    ]
    return markdown_table(["column", "type", "unit", "meaning"], rows, 4)


def artifacts_markdown() -> str:
    """The text of docs/artifacts.md."""
    folder = layout.artifacts_dir("DATASET").as_posix()
    tree = "\n".join(
        f"  {path.name}"
        for path in [
            *(
                layout.artifact(layout.artifacts_dir("D"), "S", kind)
                for kind in layout.ARTIFACT_KINDS
            ),
            layout.mesh(layout.artifacts_dir("D"), "S"),
        ]
    )
    kinds = "\n\n".join(
        f"### {kind}\n\n{about} Row groups: {groups}.\n\n{_columns(SCHEMAS[kind])}"
        for kind, (about, groups) in ABOUT.items()
    )
    return f"""\
# Artifacts

Generated from pipeline/schemas.py by `python -m pipeline write-docs`; do not edit.

Everything that is computed from a scene's geometry is a handful of Parquet files in the scene's
folder, schema version {SCHEMA_VERSION}:

```
{folder}/SCENE/
{tree}
```

mesh.ply is the surface that the segments refer to: a copy of the dataset's reconstruction, or one
fused from the frames.

- The unit and the meaning of each column are also in the file, as metadata of its field; the unit
  1 marks counts, indices, ratios and text. The file's metadata name the reader and the params.
- Files are zstd-compressed and written under a temporary name first: a file under its final name
  is whole.
- Where a reader wants one frame, a row group holds one frame, in the order of the frames. The
  statistics of the first column, `frame_id`, find its row group without reading the file.
- Fixed-size lists, such as `float[3]`, are row major.
- Frames, pixels, depth and names follow [conventions.md](conventions.md). Paths are functions of
  pipeline/layout.py.

`python -m pipeline inspect SCENE` prints a summary of all tables of a scene and draws pictures.

## Tables

{kinds}

## Queries

{QUERIES}"""


def params_schema() -> str:
    """The text of docs/params.schema.json: the JSON schema of params.yaml."""
    return json.dumps(Params.model_json_schema(), indent=1, sort_keys=True) + "\n"


def fill_layouts(text: str, layouts: Mapping[str, str]) -> str:
    """Put each reader's raw tree between its markers in docs/datasets.md.

    Args:
        text: The page, with `<!-- layout NAME -->` and `<!-- end -->` on lines of their own.
        layouts: Reader name -> its raw tree.

    Raises:
        KeyError: a reader has no markers, or a marker no reader.
    """
    marked = re.findall(r"^<!-- layout (\w+) -->$", text, flags=re.MULTILINE)
    if sorted(marked) != sorted(layouts):
        raise KeyError(
            f"docs/datasets.md describes {sorted(marked)}, readers are {sorted(layouts)}"
        )
    return re.sub(
        r"^<!-- layout (\w+) -->$.*?^<!-- end -->$",
        lambda match: (
            f"<!-- layout {match[1]} -->\n```\n{layouts[match[1]].strip()}\n```\n<!-- end -->"
        ),
        text,
        flags=re.MULTILINE | re.DOTALL,
    )
