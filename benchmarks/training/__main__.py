"""`python -m benchmarks.training --raw ../shared/sequences`: a training step beside the peer's.

CPU time on one thread; the whole step is measured where there is a GPU.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch start their pools

from benchmarks.geometry.rows import Row, SkippedError, print_line, print_table, record
from benchmarks.geometry.workspace import Workspace
from benchmarks.training.step_rows import outside_rows, whole_rows

ROWS: dict[str, Callable[[Workspace], Iterator[Row]]] = {
    "outside": outside_rows,
    "whole": whole_rows,
}
COMMAND = "python -m benchmarks.training --raw ../shared/sequences"


def main() -> None:
    """Measure, print and store the rows."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.training")
    parser.add_argument("--raw", required=True, type=Path, metavar="DIR", help="posed sequences")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), help="default: all")
    parser.add_argument("--quick", action="store_true", help="few steps")
    parser.add_argument("--record", type=Path, metavar="FILE", help="e.g. docs/measurements.json")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="for files; default: temporary")
    args = parser.parse_args()
    if args.quick and args.record:
        parser.error("--quick gives no figures to --record")
    rows = []
    with tempfile.TemporaryDirectory(prefix="training-", dir=args.folder) as folder:
        work = Workspace(args.raw, Path(folder), args.quick)
        for name in args.only:
            try:
                for row in ROWS[name](work):
                    print_line(row)
                    rows.append(row)
            except SkippedError as error:
                print(f"{name}: skipped: {error}", flush=True)
    print_table(rows)
    if args.record is not None:
        record(args.record, rows, "training", COMMAND, ("numpy", "torch"))


if __name__ == "__main__":
    main()
