"""Oversegmentation, compute only, against C++."""

from collections.abc import Iterator

from benchmarks.geometry.measure import cpu_seconds
from benchmarks.geometry.rows import Row, SkippedError
from benchmarks.geometry.segmentator import Segmentator, compiler, same_partition
from benchmarks.geometry.workspace import Workspace
from pipeline.geometry.oversegmentation import oversegment

KS, MIN_VERTICES = (1e-5, 0.01, 0.05, 5.0), (1, 20, 100)
#: What ScanNet ships; the time is compared for these.
TIMED = (0.01, 20)


def segment_rows(work: Workspace) -> Iterator[Row]:
    """Time at the defaults, and whether the partitions are equal, over all settings.

    Raises:
        SkippedError: there is no g++.
    """
    if compiler() is None:
        raise SkippedError("the baseline needs g++ (apt-get install g++)")
    segmentator = Segmentator(work.folder)
    repeats = 3 if work.is_quick else 15
    faces = n_equal = n_compared = 0
    totals = {"ours": 0.0, "sort": 0.0, "stable": 0.0}
    for scene in work.scenes:
        mesh = work.native.mesh(scene)
        segmentator.load(mesh)
        faces += len(mesh.faces)
        oversegment(mesh.vertices, mesh.faces, *TIMED)
        ours, _ = cpu_seconds(oversegment, mesh.vertices, mesh.faces, *TIMED, repeats=repeats)
        totals["ours"] += ours
        totals["sort"] += segmentator.run(*TIMED, repeats)[0]
        totals["stable"] += segmentator.run(*TIMED, repeats, is_stable=True)[0]
        for k in KS:
            for least in MIN_VERTICES:
                _, theirs = segmentator.run(k, least)
                segments = oversegment(mesh.vertices, mesh.faces, k, least)
                n_compared += 1
                n_equal += same_partition(theirs, segments)
    times = [totals["ours"], totals["sort"]]
    yield Row(
        "oversegmentation, compute only, C++ -O2 (std::sort)",
        "s CPU",
        *times,
        at_most=1.3,
        is_equal=n_equal == n_compared,
        note=f"{len(work.scenes)} meshes, {faces} faces in all; partitions equal: {n_equal} of "
        f"{n_compared}; with std::stable_sort the C++ needs {totals['stable']:.4f} s",
    )
