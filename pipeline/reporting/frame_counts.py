"""How many frames were used, and why the others were not."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pipeline.schemas import open_artifact


def count_statuses(files: Iterable[Path], kind: str) -> Counter[str]:
    """Frames by status over the frames tables of several scenes.

    Args:
        files: Parquet files of `kind`; a missing one counts as one `no frames table`.
        kind: "frames" or "labelled_frames".

    Raises:
        ArtifactError: a file is damaged or of another schema.
    """
    counts: Counter[str] = Counter()
    for file in files:
        if not file.is_file():
            counts["(scene without a frames table)"] += 1
            continue
        counts.update(open_artifact(file, kind).read(["status"])["status"].to_pylist())
    return counts


def describe_counts(counts: Counter[str]) -> str:
    """ "463 used, 17 skipped (bad_pose 9, no_depth 8)"."""
    skipped = {status: n for status, n in sorted(counts.items()) if status != "ok"}
    reasons = ", ".join(f"{status} {n}" for status, n in skipped.items())
    tail = f" ({reasons})" if reasons else ""
    return f"{counts['ok']} used, {sum(skipped.values())} skipped{tail}"
