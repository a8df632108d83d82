"""`python -m benchmarks.sparse`: the 3D network on plain torch beside MinkowskiEngine.

Needs `make minkowski`. Both run in turn in this process, on one thread and on the same voxels, a
new cut of a room each time; medians of CPU time are compared, kernel maps included.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and MinkowskiEngine start their pools

from benchmarks.geometry.rows import Row, SkippedError, print_line, print_table, record
from benchmarks.sparse.network_rows import cores_rows, gpu_rows, small_rows, whole_rows
from benchmarks.sparse.voxels import RoomVoxels
from pipeline.models.sparse.minkowski_sites import MinkowskiSites

ROWS: dict[str, Callable[[RoomVoxels, bool], Iterator[Row]]] = {
    "whole": whole_rows,
    "small": small_rows,
    "cores": cores_rows,
    "gpu": gpu_rows,
}


def main() -> None:
    """Measure, print and store the rows."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.sparse")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW")
    parser.add_argument("--quick", action="store_true", help="few repeats")
    parser.add_argument("--record", type=Path, metavar="FILE", help="e.g. docs/measurements.json")
    args = parser.parse_args()
    if args.quick and args.record:
        parser.error("--quick gives no figures to --record")
    MinkowskiSites.check_installed()
    room, rows = RoomVoxels(), []
    for name in args.only:
        try:
            for row in ROWS[name](room, args.quick):
                print_line(row)
                rows.append(row)
        except SkippedError as error:
            print(f"{name}: skipped: {error}", flush=True)
    print_table(rows)
    if args.record:
        versions = ("torch", "MinkowskiEngine")
        record(args.record, rows, "sparse", "python -m benchmarks.sparse", versions)


if __name__ == "__main__":
    main()
