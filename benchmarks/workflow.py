"""`python -m benchmarks.workflow`: what the machinery costs beside the work.

`scale`: in a clone with ScanNet's 1,513 scenes as empty files, `all_artifacts` is planned, then run
with a stand-in for `python` that puts tiny artifacts where the stages would, and asked for once
more. `embedded`: `all_tables` runs on the embedded default (20 minutes), and what the stages' own
logs say of their time is compared with the whole.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import psutil

from benchmarks.geometry.rows import Row, print_line, print_table, record
from pipeline import layout
from pipeline.config import load_params
from pipeline.readers import READERS
from pipeline.scenes.writers import room_files, write_splits
from pipeline.schemas import write_table
from tests.workflow.conftest import REPOSITORY, Workspace

#: ScanNet v2: scans of all places, and how many of them its training list names.
N_SCENES, N_TRAIN = 1513, 1201
#: Files larger than this are not hashed by Snakemake (--max-checksum-file-size): as real scans.
SCAN_BYTES = 2_000_000
#: What each stage writes for a scene; `snakemake` complains if one is missing.
OUTPUTS = {
    "extract-frames": ("frames", "voxels", "correspondences", "labelled_frames", "mesh"),
    "oversegment": ("segments", "sets"),
    "find-overlaps": ("overlaps",),
}
#: Rules that run once, or once for an artifact kind, however many scenes there are.
OF_ALL_SCENES = {"all_artifacts", "write_manifest", "write_split"}
PLAN = ("snakemake", "-n", "all_artifacts")
RUN = ("snakemake", "--cores", "2", "all_artifacts")
#: Jobs at a time on the embedded default, and the largest wanted share of them outside the stages.
CORES, OUTSIDE_PERCENT = 2, 35.0
#: The wanted: seconds of a plan, seconds of a run that has nothing to do, memory of both.
PLAN_S, AGAIN_S, MEMORY_GIB = 20.0, 30.0, 1.5
#: Seconds between two looks at the memory.
INTERVAL_S = 0.05


def scene_names(n_scenes: int) -> list[str]:
    """Names in ScanNet's form: two or three scans of a place."""
    names = (
        f"scene{place:04d}_{scan:02d}" for place in count() for scan in range(2 + (place % 50 < 7))
    )
    return list(islice(names, n_scenes))


def job_command(scene: str) -> tuple[str, ...]:
    """How a Slurm job of one rule and scene starts Snakemake again (snakemake/spawn_jobs.py)."""
    options = "--cores 1 --force --nolock --ignore-incomplete --max-inventory-time 0"
    mode = "--mode subprocess --allowed-rules extract_frames --target-jobs"
    return ("snakemake", *options.split(), *mode.split(), f"extract_frames:scene={scene}")


class Clone(Workspace):
    """A clone with the raw tree of a preset at the papers' scale and the stand-in for `python`.

    Attributes:
        scenes: names of its scenes.
        artifacts: their folder.
    """

    def __init__(self, root: Path, n_scenes: int, preset: str = "paper_000") -> None:
        super().__init__(root)
        shutil.copy(REPOSITORY / f"presets/{preset}.yaml", root / "params.yaml")
        params = load_params(root / "params.yaml")
        self.artifacts = root / layout.artifacts_dir(params.dataset.name)
        self.scenes = scene_names(n_scenes)
        n_train = n_scenes * N_TRAIN // N_SCENES
        write_splits(root / params.dataset.raw_dir, self.scenes[:n_train], self.scenes[n_train:])
        labelled = READERS[params.labelled.reader]
        for scene in self.scenes:
            for file in room_files(root / params.dataset.raw_dir, scene):
                file.parent.mkdir(parents=True, exist_ok=True)
                with file.open("wb") as empty:
                    empty.truncate(SCAN_BYTES)
            for path in labelled.scene_files(root / params.labelled.raw_dir, scene):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch() if path.suffix else path.mkdir()
        self._stand_in()

    def _stand_in(self) -> None:
        """Replace the `python` that is first on the PATH; manifests are written by the real one."""
        template = self.root / "template"
        for kind in layout.ARTIFACT_KINDS:
            write_table(layout.artifact(template, "", kind), kind, [], dict)
        layout.mesh(template, "").touch()
        cases = ""
        for command, stems in OUTPUTS.items():
            files = [next(template.glob(f"{stem}.*")) for stem in stems]
            copy = shlex.join(["cp", *map(str, files)])
            cases += f'{command}) exec {copy} "{self.artifacts}/$scene" ;;\n'
        (self.root / "bin/python").write_text(
            "#!/bin/sh\nfor scene; do :; done  # the last argument\n"
            f'case "$3" in\n{cases}*) exec "{sys.executable}" "$@" ;;\nesac\n'
        )


def _tree_bytes(pid: int) -> int:
    """Resident memory of a process and all below it; pages that they share count for each."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            total += process.memory_info().rss
    except psutil.NoSuchProcess:
        pass  # one ended meanwhile
    return total


@dataclass(frozen=True)
class Measured:
    """What a command cost, with all processes that it started.

    Attributes:
        wall_s: seconds from its start to its end.
        cpu_s: CPU seconds.
        peak_bytes: largest resident memory of all at one moment.
        output: what it printed.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int
    output: str

    @property
    def note(self) -> str:
        """CPU time beside the wall time: tells whether the machine was busy."""
        return f"{self.cpu_s:.1f} s of CPU time; 1-minute load at the end {os.getloadavg()[0]:.1f}"


def measure(clone: Workspace, command: tuple[str, ...]) -> Measured:
    """Run a command in a clone to its end.

    Raises:
        RuntimeError: it failed; the end of its output is in the text.
    """
    log = clone.root / "output.txt"
    start = time.perf_counter()
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=clone.root, env=clone.environment, stdout=output, stderr=output
        )
    peak = 0
    while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
        peak = max(peak, _tree_bytes(process.pid))
        time.sleep(INTERVAL_S)
    wall_s = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(ended[1])
    text, usage = log.read_text(errors="replace"), ended[2]
    if process.returncode:
        raise RuntimeError(f"{shlex.join(command)} failed: {text[-3000:]}")
    return Measured(wall_s, usage.ru_utime + usage.ru_stime, peak, text)


def planned_jobs(output: str) -> dict[str, int]:
    """Rule -> number of jobs, from the table that Snakemake prints."""
    table = output.partition("Job stats:")[2].partition("\n\n")[0]
    jobs = {
        rule: int(number) for rule, number in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)
    }
    jobs.pop("total", None)
    return jobs


def _count_files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def workflow_rows(clone: Clone) -> Iterator[Row]:
    """Plan, run and ask again; yields each figure as soon as it is there."""
    n = len(clone.scenes)

    def row(what: str, unit: str, value: float, limit: float | None = None, note: str = "") -> Row:
        return Row(what, unit, value, at_most=limit, compilation="", note=note)

    def cost(what: str, measured: Measured, limit_s: float | None) -> Iterator[Row]:
        yield row(f"{what}: time", "s", measured.wall_s, limit_s, measured.note)
        limit = None if limit_s is None else MEMORY_GIB
        yield row(f"{what}: memory", "GiB", measured.peak_bytes / 2**30, limit, "all its processes")

    plan = measure(clone, PLAN)
    jobs = planned_jobs(plan.output)
    n_jobs = sum(jobs.values())
    yield from cost(f"{shlex.join(PLAN)}, {n:,} scenes, nothing made", plan, PLAN_S)
    counts = ", ".join(f"{number} {rule}" for rule, number in sorted(jobs.items()))
    yield row("jobs", "", n_jobs, note=counts)
    per_scene = sum(number for rule, number in jobs.items() if rule not in OF_ALL_SCENES) / n
    yield row("jobs a scene", "", per_scene, 3, f"without {', '.join(sorted(OF_ALL_SCENES))}")

    run = measure(clone, RUN)
    yield from cost(f"{shlex.join(RUN)}, with stages that take no time", run, None)
    yield row("the same for each job", "ms", 1000 * run.wall_s / n_jobs)
    yield row("artifacts a scene", "files", _count_files(clone.artifacts) / n, 8)
    yield row("logs a scene", "files", _count_files(clone.root / "logs") / n)
    records = _count_files(clone.root / ".snakemake/metadata") / n
    yield row("Snakemake's records a scene", "files", records, note="one for an output")

    again = measure(clone, RUN)
    if "Nothing to be done" not in again.output:
        raise RuntimeError(f"a finished run is run again: {again.output[-3000:]}")
    yield from cost(f"{shlex.join(RUN)}, {n:,} scenes, all made", again, AGAIN_S)

    job = measure(clone, job_command(clone.scenes[0]))
    note = f"Slurm's plugin starts two of them for every job; {job.note}"
    yield row("Snakemake's start within a Slurm job", "s", job.wall_s, note=note)


def own_seconds(logs: Path) -> dict[str, float]:
    """Command -> seconds within the stages, without the start of their processes.

    Args:
        logs: Folder of the jobs' logs, each with the line in which a command says what it cost.
    """
    seconds: Counter[str] = Counter()
    for log in logs.rglob("*.log"):
        for command, value in re.findall(r"^([a-z-]+): ([\d.]+) s and ", log.read_text(), re.M):
            seconds[command] += float(value)
    return dict(seconds)


def embedded_rows(clone: Workspace, cores: int) -> Iterator[Row]:
    """Run everything on the embedded default, on that many cores."""
    shutil.copy(REPOSITORY / "presets/embedded.yaml", clone.root / "params.yaml")
    run = measure(clone, ("snakemake", "--cores", str(cores), "all_tables"))
    own = own_seconds(clone.root / "logs")
    shown = ", ".join(f"{name} {value:.0f}" for name, value in sorted(own.items()))
    yield Row(
        f"all_tables of the embedded default, {cores} jobs at a time: share outside the stages",
        "%",
        100 * (1 - sum(own.values()) / (cores * run.wall_s)),
        at_most=OUTSIDE_PERCENT,
        compilation="counted",
        note=f"{run.wall_s:.0f} s wall, {run.cpu_s:.0f} s of CPU time; seconds in the stages: "
        f"{shown}; the rest is starting processes, DVC, Snakemake, and jobs that wait for others",
    )


def _shown(rows: Iterator[Row]) -> Iterator[Row]:
    for row in rows:
        print_line(row)
        yield row


def main() -> None:
    """Measure, print and store the rows."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.workflow")
    parser.add_argument("--only", choices=["scale", "embedded"], help="default: both")
    parser.add_argument("--scenes", type=int, default=N_SCENES, metavar="N", help="scenes")
    parser.add_argument("--record", type=Path, metavar="FILE", help="e.g. docs/measurements.json")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="for files; default: temporary")
    args = parser.parse_args()
    if args.record and args.scenes != N_SCENES:
        parser.error(f"only the figures of {N_SCENES} scenes are for --record")
    rows = []
    with tempfile.TemporaryDirectory(prefix="workflow-", dir=args.folder) as folder:
        if args.only != "embedded":
            rows += _shown(workflow_rows(Clone(Path(folder, "scale"), args.scenes)))
        if args.only != "scale":
            rows += _shown(embedded_rows(Workspace(Path(folder, "embedded")), CORES))
    print_table(rows)
    if args.record:
        record(args.record, rows, "workflow", "python -m benchmarks.workflow", ("snakemake", "dvc"))


if __name__ == "__main__":
    main()
