"""`validate`: every artifact of a scene against its schema and its invariants."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline import layout
from pipeline.reporting.validation.findings import Findings, Unusable, Violation
from pipeline.reporting.validation.frames import check_frames, check_labelled_frames
from pipeline.reporting.validation.matches import check_correspondences
from pipeline.reporting.validation.overlaps import check_overlaps
from pipeline.reporting.validation.provenance import check_provenance
from pipeline.reporting.validation.scene import StoredScene
from pipeline.reporting.validation.sets import check_sets
from pipeline.reporting.validation.surface import check_mesh, check_segments, check_voxels

#: Kind -> check of its content, upstream first. A violation stops a check only where going on
#: makes no sense.
CHECKS: dict[str, Callable[[StoredScene, Findings], None]] = {
    "frames": check_frames,
    "labelled_frames": check_labelled_frames,
    "mesh": check_mesh,
    "voxels": check_voxels,
    "correspondences": check_correspondences,
    "segments": check_segments,
    "sets": check_sets,
    "overlaps": check_overlaps,
}


@dataclass
class Report:
    """What was found in one scene's folder.

    Attributes:
        scene: its name.
        violations: each broken invariant once.
        warnings: what is odd, but leaves the artifacts valid.
        unchecked: kinds whose check had to stop.
        n_rows: kind -> rows of the tables that could be opened.
    """

    scene: str
    violations: list[Violation] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    n_rows: dict[str, int] = field(default_factory=dict)


def validate_scene(folder: Path) -> Report:
    """Check all artifacts of a scene; one row group at a time is in memory.

    Args:
        folder: The scene's artifact folder.
    """
    scene = StoredScene(folder)
    report = Report(scene.name)
    for path in sorted(scene.folder.iterdir()):
        if path.name.startswith("."):
            report.warnings.append(f"{path.name}: of a run that was killed, or is still at work")
    for kind in CHECKS:
        findings, is_complete = check_file(scene, kind)
        if not is_complete:
            report.unchecked.append(kind)
        # What several checks need is broken for each of them, but is named once.
        report.violations += [v for v in findings.violations if v not in report.violations]
    report.n_rows = scene.n_rows
    return report


def check_file(scene: StoredScene, kind: str) -> tuple[Findings, bool]:
    """Check the file of one kind.

    Returns:
        What was found, and whether the check came to its end.
    """
    findings = Findings(scene.path(kind).name)
    try:
        if kind in layout.ARTIFACT_KINDS:
            check_provenance(scene, kind, findings)
        CHECKS[kind](scene, findings)
    except Unusable as error:
        findings.violations.append(error.violation)
        return findings, False
    return findings, True
