"""Fuzzing of what parses foreign bytes: `python -m benchmarks.fuzz_sens --seconds 300`.

Damaged recordings, pictures and meshes (fuzz_inputs.py) go to the readers. Every input must end in
good data or in the reader's own error, within a time and within an amount of memory. The work is
done in a child process, so that one that dies or hangs is a finding, too, and the rest goes on.
An input is a function of (--seed, its number): `--replay NUMBER` runs one again, undisturbed.
"""

import argparse
import faulthandler
import itertools
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from benchmarks import fuzz_inputs
from pipeline.geometry.mesh import MeshError, read_ply
from pipeline.readers import imaging
from pipeline.readers.base import SKIP_STATUSES, ColorSize, ReaderError
from pipeline.readers.checks import skipping
from pipeline.readers.sens import open_sens

#: More than the largest picture that is decoded needs (imaging.MAX_PIXELS).
MEMORY_LIMIT = 640 * 1024**2
TIME_LIMIT_S = 10.0
_PAGE = resource.getpagesize()
_COLOR_SIZES: tuple[ColorSize, ...] = ("full", (6, 8), None)


def _check_memory(reason: str) -> None:
    """Raise MemoryError for a picture that OpenCV refused for that; it is no fault of the file."""
    if "nsufficient memory" in reason or "Failed to allocate" in reason:
        raise MemoryError(reason)


def _read_recording(path: Path) -> set[str]:
    try:
        sens = open_sens(path)
    except ReaderError:
        return {"refused"}
    load = skipping(sens.read_frame)
    statuses = set()
    for frame_id in range(min(sens.n_frames, 8)):
        color_size = _COLOR_SIZES[frame_id % len(_COLOR_SIZES)]
        frame = load(frame_id, color_size)
        statuses.add(frame.status)
        if frame.status == "ok":
            assert frame.depth.shape == sens.depth_size
            if color_size == "full":
                assert frame.color.shape == (*sens.color_size, 3)
            assert np.isfinite(frame.depth).all()
            assert (frame.depth >= 0).all()
            assert np.isfinite(frame.T_world_camera).all()
        else:
            assert frame.status in SKIP_STATUSES
            assert frame.reason
            _check_memory(frame.reason)
    return {f"frame {status}" for status in statuses} or {"no frames"}


def _picture_reader(decode: Callable[[bytes], np.ndarray]) -> Callable[[Path], set[str]]:
    def read(path: Path) -> set[str]:
        data = path.read_bytes()
        try:
            picture = decode(data)
        except imaging.ImageError as error:
            _check_memory(str(error))
            return {"refused"}
        assert picture.shape[:2] == imaging.image_size(data)
        return {"ok"}

    return read


def _read_mesh(path: Path) -> set[str]:
    try:
        mesh = read_ply(path)
    except MeshError:
        return {"refused"}
    assert len(mesh.rgb) == len(mesh.vertices)
    assert mesh.faces.size == 0 or 0 <= mesh.faces.min() <= mesh.faces.max() < len(mesh.vertices)
    return {"ok"}


#: Target -> (damaged bytes from a generator, what reads them and says how that ended, its share).
TARGETS: dict[str, tuple[Callable[[np.random.Generator], bytes], Callable[[Path], str], float]] = {
    "sens": (fuzz_inputs.sens, _read_recording, 0.6),
    "decode_color": (fuzz_inputs.color, _picture_reader(imaging.decode_color), 0.1),
    "decode_gray": (fuzz_inputs.gray, _picture_reader(imaging.decode_gray), 0.1),
    "read_ply": (fuzz_inputs.ply, _read_mesh, 0.2),
}


def make_input(seed: int, number: int) -> tuple[str, bytes, int]:
    """Target, bytes and file size of one input; beyond its bytes the file is a hole of zeros."""
    rng = np.random.default_rng([seed, number])
    target = str(rng.choice(list(TARGETS), p=[share for _, _, share in TARGETS.values()]))
    data = TARGETS[target][0](rng)
    is_long = target in ("sens", "read_ply") and rng.random() < 0.03
    return target, data, len(data) + is_long * (1 << int(rng.integers(43)))


def run_input(target: str, data: bytes, size: int, path: Path) -> set[str]:
    """How one input ended; any exception, AssertionError included, is a finding.

    Raises:
        MemoryError: it needed more than MEMORY_LIMIT beyond what the process had.
        TimeoutError: it took more than TIME_LIMIT_S.
    """
    path.write_bytes(data)
    os.truncate(path, size)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * _PAGE + MEMORY_LIMIT, hard))
    start = time.perf_counter()
    try:
        ended = TARGETS[target][1](path)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    if (seconds := time.perf_counter() - start) > TIME_LIMIT_S:
        raise TimeoutError(f"took {seconds:.1f} s")
    return {f"{target}: {how}" for how in ended}


def _work(seed: int, first: int, seconds: float, folder: Path, results: Connection) -> None:
    """Child process: inputs from number `first` on; sends (number, how it ended, traceback)."""
    os.nice(10)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libpng and libjpeg say a word about every input
    hang = (folder / "hang").open("w")
    end = time.monotonic() + seconds
    for number in itertools.count(first):
        if time.monotonic() > end:
            break
        faulthandler.dump_traceback_later(3 * TIME_LIMIT_S, exit=True, file=hang)
        target, data, size = make_input(seed, number)
        try:
            results.send((number, run_input(target, data, size, folder / "input"), ""))
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{target}: {type(error).__name__} in {Path(place.filename).name}:{place.name}"
            results.send((number, {where}, traceback.format_exc()))
    faulthandler.cancel_dump_traceback_later()


@dataclass
class Report:
    """What a run came to.

    Attributes:
        n_inputs: how many were tried.
        counts: how inputs ended -> how many; a recording ends in several ways.
        findings: those of `counts` that are faults -> (number of the first input, traceback).
    """

    n_inputs: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    findings: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, number: int, ended: set[str], fault: str) -> None:
        """Count one input; `fault` is empty if it ended as it should."""
        self.n_inputs += 1
        self.counts.update(ended)
        if fault:
            self.findings.setdefault(*ended, (number, fault))


def fuzz(seconds: float, seed: int) -> Report:
    """Try inputs for some time.

    Args:
        seconds: How long; starting the child process comes on top.
        seed: Of the inputs.

    Returns:
        How they ended.
    """
    report, context = Report(), multiprocessing.get_context("spawn")
    number = 0
    with tempfile.TemporaryDirectory() as folder:
        while seconds > 0:
            start = time.monotonic()
            receiver, sender = context.Pipe(duplex=False)
            child = context.Process(
                target=_work, args=(seed, number, seconds, Path(folder), sender)
            )
            child.start()
            sender.close()
            with suppress(EOFError):
                while True:
                    done = receiver.recv()
                    report.add(*done)
                    number = done[0] + 1
            child.join()
            if child.exitcode == 0:
                break
            target = make_input(seed, number)[0]
            fault = Path(folder, "hang").read_text() or "its process died"
            report.add(number, {f"{target}: exit status {child.exitcode}"}, fault)
            number, seconds = number + 1, seconds - (time.monotonic() - start)
    return report


def main() -> int:
    """Command line; 1 if there are findings."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz_sens", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replay", type=int, metavar="NUMBER", help="run this one input")
    args = parser.parse_args()
    if args.replay is not None:
        with tempfile.TemporaryDirectory() as folder:
            print(run_input(*make_input(args.seed, args.replay), Path(folder) / "input"))
        return 0
    report = fuzz(args.seconds, args.seed)
    for ended, count in sorted(report.counts.items()):
        print(f"{count:9,}  {ended}")
    print(f"{report.n_inputs:9,}  inputs, {len(report.findings)} findings")
    for ended, (number, fault) in report.findings.items():
        print(f"\n--replay {number} --seed {args.seed}: {ended}\n{fault}")
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
