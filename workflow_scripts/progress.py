"""Say how far the training runs below some folders are, from their files alone.

For runs on a cluster, in another session or on another machine that shares the folders.
"""

import sys
import time
from pathlib import Path

from semask.base.errors import InputError
from semask.workflow import guard
from semask.workflow.overview import overview, runs_below

_BETWEEN_LOOKS = 2.0
_FROM_THE_TOP = "\x1b[H\x1b[J"


def main() -> None:
    parser = guard.parser(__doc__)
    parser.add_argument(
        "results", type=Path, nargs="*", default=[Path("results")], help="default: results"
    )
    parser.add_argument("--watch", action="store_true", help="look again and again, until Ctrl-C")
    arguments = parser.parse_args()
    while True:
        runs = runs_below(arguments.results)
        if not runs and not arguments.watch:
            folders = " ".join(map(str, arguments.results))
            raise InputError(
                f"{folders}: no training run has begun here: Snakemake may still be at the data, "
                "or the config has another results folder"
            )
        lines = ["no training run has begun"]
        if runs:
            lines = overview(runs, cores=None, now=time.time(), what="runs")
        if arguments.watch and sys.stdout.isatty():
            print(_FROM_THE_TOP, end="")
        print("\n".join(lines), flush=True)
        if not arguments.watch:
            return
        time.sleep(_BETWEEN_LOOKS)


if __name__ == "__main__":
    guard.run(main)
