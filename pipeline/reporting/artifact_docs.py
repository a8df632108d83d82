"""What in docs/ comes from the code.

artifacts.md from schemas.py, queries.md and the benchmarks' figures, params.schema.json from
config/, and the raw trees in datasets.md from the readers.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from pipeline import layout
from pipeline.config import Params
from pipeline.reporting.markdown import markdown_table
from pipeline.reporting.marked_blocks import fill_blocks
from pipeline.reporting.measured_docs import measured_markdown, read_measurements
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
        "voxel. Segments below geometry.oversegmentation.min_vertices are joined with a neighbour; "
        "a piece of the mesh that no edge connects to the rest has none, so it stays a segment of "
        "its own, however small.",
        "one per k and element",
    ),
    "sets": (
        "The segments, and the labels where there are some, that each frame sees. By `voxel_map`, "
        "a set's pixels are those whose voxel has its segment: join correspondences and segments. "
        "By `ray_casting` (geometry.sets.projection) they are stored.",
        "one frame each",
    ),
    "overlaps": (
        "The overlap of every pair of usable frames. With geometry.overlaps.pixel_pairs_from also "
        "the matched pixels of the pairs that overlap by that much.",
        "one; with matched pixels one per frame_a",
    ),
    "labelled_frames": (
        "The labelled frames for finetuning and evaluation, with the label image where the "
        "dataset has one. A scene without any has an empty table.",
        "one frame each",
    ),
}

#: Heading of the queries that join tables.
TOGETHER = "several tables"


def queries() -> dict[str, str]:
    """Kind of table -> questions and the queries that answer them, as Markdown."""
    text = Path(__file__).with_name("queries.md").read_text(encoding="utf-8")
    sections = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)[1:]
    return {name: body.strip() for name, body in zip(sections[::2], sections[1::2], strict=True)}


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


def _introduction() -> str:
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
    return f"""\
# Artifacts

Generated from pipeline/schemas.py, pipeline/reporting/queries.md and docs/measurements.json by
`python -m pipeline write-docs`; do not edit.

Everything that is computed from a scene's geometry is a handful of Parquet files in the scene's
folder, schema version {SCHEMA_VERSION}:

```
{folder}/SCENE/
{tree}
```

mesh.ply is the surface that the segments refer to: a copy of the dataset's reconstruction, or one
fused from the frames.

- The unit and the meaning of each column are also in the file, as metadata of its field; the unit
  1 marks counts, indices, ratios and text. The file's metadata name what it was made from: reader,
  package version, hash of the inputs, and each param that decided its content.
- Files are zstd-compressed and written under a temporary name first: a file under its final name
  is whole.
- Where a reader wants one frame, a row group holds one frame, in the order of the frames. The
  statistics of the first column, `frame_id`, find its row group without reading the file.
- Fixed-size lists, such as `float[3]`, are row major.
- Frames, pixels, depth and names follow [conventions.md](conventions.md). Paths are functions of
  pipeline/layout.py.

`build-artifacts` keeps a complete scene if nothing has changed since it was made: the params that
matter, the raw files, the artifacts themselves, the package version. build.json beside the scenes
has a short hash of each, and a scene that is made again says which of them changed. A file counts
by its name below the folder, its size and the time of its last change, not by its content, which
would have to be read (1.2 TB of ScanNet). So after `cp -r` or `touch` everything is made again,
after `mv`, `cp -a` or `rsync -a` nothing.

To look into a scene's artifacts, by name or by folder:

```
python -m pipeline inspect SCENE                    # all tables in the terminal; a PNG of each kind
# With options: only what they name.
python -m pipeline inspect SCENE --frame 7          # colour, depth, matches and segments of a frame
python -m pipeline inspect SCENE --pair 3 7         # matched pixels of two frames, joined
python -m pipeline inspect SCENE --sets 0.05        # the sets that two frames see, one colour each
python -m pipeline inspect SCENE --segments 0.01    # the segments from above and from the side
python -m pipeline inspect SCENE --overlap --voxels # all pairs as a matrix; voxels
python -m pipeline inspect SCENE --rerun scene.rrd  # a recording of all of it in 3D
```

The last one is for [rerun's](https://rerun.io) viewer (`rerun scene.rrd`) and needs
`pip install -e '.[rerun]'`."""


def _tables() -> str:
    asked = queries()
    kinds = "\n\n".join(
        f"### {kind}\n\n{about} Row groups: {groups}.\n\n{_columns(SCHEMAS[kind])}\n\n{asked[kind]}"
        for kind, (about, groups) in ABOUT.items()
    )
    return f"""\
## Tables

Each with queries for DuckDB and pandas, which the tests run. `rooms` and `scene0000_00` stand for
your dataset and scene.

{kinds}

### {TOGETHER}

{asked[TOGETHER]}"""


def artifacts_markdown() -> str:
    """The text of docs/artifacts.md."""
    measured = measured_markdown(read_measurements())
    return "\n\n".join([_introduction(), _tables(), measured]) + "\n"


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
    return fill_blocks(
        "docs/datasets.md", text, {"layout": lambda name: f"```\n{layouts[name].strip()}\n```"}
    )
