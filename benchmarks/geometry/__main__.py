"""`python -m benchmarks.geometry --raw ../shared/sequences`: the table of measured ratios.

Each row runs the baseline and this pipeline one after the other in this process, on one thread,
and compares CPU time; memory and start-up are measured in fresh processes. Row names: --help.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy, numba and Open3D start their pools

from benchmarks.geometry.chain_rows import chain_rows
from benchmarks.geometry.loader_rows import loader_rows
from benchmarks.geometry.overlap_rows import overlap_rows
from benchmarks.geometry.process_rows import long_rows, memory_rows, start_rows
from benchmarks.geometry.profile_rows import profile_rows
from benchmarks.geometry.rows import Row, SkippedError, print_line, print_table, record
from benchmarks.geometry.segment_rows import segment_rows
from benchmarks.geometry.sens_rows import disk_rows, index_rows
from benchmarks.geometry.workspace import Workspace

ROWS: dict[str, Callable[[Workspace], Iterator[Row]]] = {
    "overlap": overlap_rows,
    "chain": lambda work: chain_rows(work, work.native),
    "chain_scannet": lambda work: chain_rows(work, work.scannet),
    "segments": segment_rows,
    "index": index_rows,
    "loader": lambda work: loader_rows(work, work.native),
    "loader_scannet": lambda work: loader_rows(work, work.scannet),
    "profile": profile_rows,
    "disk": disk_rows,
    "start": start_rows,
    "memory": memory_rows,
    "long": long_rows,
}


def main() -> None:
    """Measure, print and store the rows."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.geometry")
    parser.add_argument("--raw", required=True, type=Path, metavar="DIR", help="posed sequences")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=ROWS,
        default=list(ROWS),
        metavar="ROW",
        help=f"of {', '.join(ROWS)}",
    )
    parser.add_argument("--quick", action="store_true", help="few repeats, small samples")
    parser.add_argument("--long", type=Path, metavar="DIR", help="of the room of 6,000 frames")
    parser.add_argument("--record", type=Path, metavar="FILE", help="e.g. docs/measurements.json")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="for files; default: temporary")
    args = parser.parse_args()
    if args.quick and args.record:
        parser.error("--quick gives no figures to --record")
    with tempfile.TemporaryDirectory(prefix="geometry-", dir=args.folder) as folder:
        work = Workspace(args.raw, Path(folder), args.quick, args.long)
        rows = []
        for name in args.only:
            try:
                for row in ROWS[name](work):
                    print_line(row)
                    rows.append(row)
            except SkippedError as error:
                print(f"{name}: skipped: {error}", flush=True)
    print_table(rows)
    if args.record is not None:
        record(args.record, rows)


if __name__ == "__main__":
    main()
