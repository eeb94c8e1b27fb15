"""Stands in for the trainer: the files of a run and messages, without the work.

With a file `fault` in the folder it fails, and says so as a trainer does.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

ITERATIONS = 18


def say(line: str) -> None:
    """Print a line in one write: with PYTHONUNBUFFERED `print` makes two, and another's come
    between."""
    os.write(1, f"{line}\n".encode())


def main() -> None:
    parser = argparse.ArgumentParser()
    paths = ("work", "record", "output-log", "best", "last", "error-log")
    for name in paths:
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--run", type=json.loads)
    given, _ = parser.parse_known_args()
    if Path("fault").exists():
        given.error_log.write_text(f"error: seed {given.run['seed']}: no such thing\n", "utf-8")
        sys.exit(1)
    work = given.work
    work.mkdir(parents=True)
    training = {"iterations": ITERATIONS, "evaluate_every": None, "global_batch": 2}
    (work / "run.json").write_text(json.dumps({"recipe": {"training": training}}), "utf-8")
    for iteration in range(1, ITERATIONS + 1):
        line = {"iteration": iteration, "loss": 0.25, "seconds": 0.25, "data_seconds": 0.0}
        with open(work / "log.jsonl", "a", encoding="utf-8") as log:
            log.write(f"{json.dumps(line)}\n")
        say(f"seed {given.run['seed']}, message {iteration}")
        time.sleep(0.25)
    for path in (given.record, given.output_log, given.best, given.last):
        path.write_text("{}", "utf-8")


if __name__ == "__main__":
    main()
