"""The figures that the benchmarks measured, and what they mean for the whole of ScanNet."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.reporting.markdown import markdown_table

#: Written by `python -m benchmarks.NAME --record docs/measurements.json`.
MEASUREMENTS = Path("docs/measurements.json")

#: ScanNet v2 at every 25th frame: scans, kept frames, unordered pairs of frames of one scan. The
#: last is what equally long scans would have, so the least (pri3d_family.md G).
N_SCENES, N_FRAMES, N_PAIRS = 1_513, 100_000, 3_200_000

#: Rows that the projection is made from.
_CHAIN = "raw .sens -> all artifacts (ScanNet's sizes, 1 of 25 frames kept)"
_PAIR = "overlap, search alone"
#: Pairs of a frame that the chain's row holds: its scene has 32 frames.
_CHAIN_PAIRS = 15.5
_START = "three jobs of a scene of 2 frames, numba's cache warm"
_DISK = "disk, all files of a scene"


def _number(value: int | float | None) -> str:
    return "" if value is None else f"{value:,.4g}"


def _rows(section: Mapping[str, Any]) -> str:
    rows = [
        [
            row["what"],
            _number(row["baseline"]),
            _number(row["ours"]),
            row["unit"],
            "" if row["ratio"] is None else f"{row['ratio']:.3g}",
            row["target"],
            {True: "yes", False: "**no**", None: ""}[row["is_met"]],
            row["note"] + ("" if row["date"] == section["date"] else f" (measured {row['date']})"),
        ]
        for row in section["rows"]
    ]
    header = ["what", "baseline", "ours", "unit", "ratio", "target", "met", "note"]
    return (
        f"`{section['command']}`, {section['date']}, {section['machine']}.\n\n"
        f"{markdown_table(header, rows, 8)}"
    )


def _start(geometry: Mapping[str, Any]) -> str:
    ours = {row["what"]: row["ours"] for row in geometry["rows"]}
    frames = ours[_START] / 3 / (ours[_CHAIN] / 1000)
    return (
        f"Starting one process costs as much as {frames:.0f} frames of the chain: "
        "`build-artifacts` makes many scenes in one, and the Slurm profile groups its jobs."
    )


def _core_hours(geometry: Mapping[str, Any]) -> dict[str, float]:
    """Part of making all of ScanNet's artifacts -> core-hours."""
    ours = {row["what"]: row["ours"] for row in geometry["rows"]}
    return {
        "frames": ours[_CHAIN] / 1000 * N_FRAMES / 3600,
        "pairs": ours[_PAIR] / 1000 * (N_PAIRS - N_FRAMES * _CHAIN_PAIRS) / 3600,
        "starts": ours[_START] * N_SCENES / 3600,
    }


def scannet_artifacts(measurements: Mapping[str, Any]) -> tuple[float, float]:
    """What all of ScanNet's artifacts take, projected from what was measured.

    Args:
        measurements: Content of docs/measurements.json.

    Returns:
        Core-hours; bytes.

    Raises:
        KeyError: a row that the projection needs is missing.
    """
    geometry = measurements["geometry"]
    ours = {row["what"]: row["ours"] for row in geometry["rows"]}
    return sum(_core_hours(geometry).values()), ours[_DISK] * 1000 * N_FRAMES


def _projection(geometry: Mapping[str, Any]) -> str:
    ours = {row["what"]: row["ours"] for row in geometry["rows"]}
    hours = _core_hours(geometry)
    rows = [
        [
            "frames, matches, segments, overlaps",
            f"{hours['frames']:.1f} core-hours",
            f"{ours[_CHAIN]:.1f} ms a frame",
        ],
        [
            "overlaps of longer scenes",
            f"{hours['pairs']:.1f} core-hours",
            f"{ours[_PAIR]:.2f} ms a pair",
        ],
        [
            "starting three jobs a scene",
            f"{hours['starts']:.1f} core-hours",
            f"{ours[_START]:.1f} s a scene",
        ],
        ["**together**", f"**{sum(hours.values()):.1f} core-hours**", ""],
        ["disk", f"{ours[_DISK] * N_FRAMES / 1e6:.0f} GB", f"{ours[_DISK]:.0f} kB a frame"],
        ["files", f"{8 * N_SCENES:,}", "8 a scene"],
    ]
    return f"""\
### All of ScanNet

{N_SCENES:,} scans with {N_FRAMES:,} kept frames (every 25th) and at least {N_PAIRS:,} pairs of
frames of one scan, at 240x320 with 2 cm voxels and five k. Projected from the rows above; reading
1.2 TB of `.sens` is not in it: of each file the headers and every 25th payload are read.

{markdown_table(["what", "cost", "from"], rows, 3)}"""


def measured_markdown(measurements: Mapping[str, Any]) -> str:
    """The section of docs/artifacts.md on speed, memory and disk.

    Args:
        measurements: Content of docs/measurements.json: sections `geometry` and `workflow`.

    Raises:
        KeyError: a section, or a row that the projection needs, is missing.
    """
    geometry, workflow = measurements["geometry"], measurements["workflow"]
    return f"""\
## Measured

CPU time against baselines that do what Pri3D's scripts and ScanNet's Segmentator do, in one run on
two cores; numba's compilation is counted only where a row says so. Where a target is missed, the
row says so, too.

### A scene

{_rows(geometry)}

{_start(geometry)}

### Snakemake with 1,513 scenes

{_rows(workflow)}

{_projection(geometry)}"""


#: Sections of docs/speed.md: heading and what is measured.
_SPEED = {
    "training": (
        "One training step",
        "What surrounds the two networks, VIEW+GEO, beside a step that reads, matches and compares "
        "sample by sample, as Pri3D's.",
    ),
    "sparse": (
        "The 3D network on plain PyTorch beside MinkowskiEngine 0.5.4",
        "Kernel maps included; each turn has another cut of a room's surface voxels, of 2 cm. "
        "MinkUNet34C's baseline is that network in MinkowskiEngine's own layers, with the same "
        "weights. GPU and wall-time rows are there only where a GPU and idle cores were.",
    ),
}


def speed_markdown(measurements: Mapping[str, Any]) -> str:
    """The text of docs/speed.md: the networks and the training.

    Args:
        measurements: Content of docs/measurements.json; sections that it lacks are left out.
    """
    parts = [
        "\n\n".join(filter(None, (f"## {title}", about, _rows(measurements[name]))))
        for name, (title, about) in _SPEED.items()
        if name in measurements
    ]
    return "\n\n".join(["# Speed of networks and training", _SPEED_ABOUT, *parts]) + "\n"


_SPEED_ABOUT = """\
Made by `python -m pipeline write-docs` from docs/measurements.json; do not edit. Both sides of a
row ran in turn in one process, and medians are compared. [artifacts.md](artifacts.md) has the
geometry's."""


def read_measurements() -> dict[str, Any]:
    """Content of docs/measurements.json.

    Raises:
        FileNotFoundError: it is missing; it is part of the repository.
    """
    return json.loads(MEASUREMENTS.read_text(encoding="utf-8"))
