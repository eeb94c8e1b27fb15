"""Which process a run waits for. That runs are really ended is tested with real ones."""

import os
import subprocess
import sys
import time
from pathlib import Path

from semask.base.errors import INTERRUPTED
from semask.devices.progress import FOLDER, PHASES, Place, Point, verdict

LOADING, COMPUTING, EVALUATING = (
    PHASES.index(phase) for phase in ("waiting for data", "computing gradients", "evaluating")
)


def test_the_one_behind_is_named() -> None:
    places = {
        0: Place(Point(8, COMPUTING, 1), 100.0, 1800),
        1: Place(Point(8, LOADING, 0), 100.5, 1800),
    }
    said = verdict(places, 2, 1800)
    assert said.startswith("process 1 of 2 has not moved for 30.0 minutes (iteration 8, waiting")
    assert "the others wait" in said


def test_the_one_that_is_not_heard_of_is_named() -> None:
    places = {
        0: Place(Point(8, LOADING, 0), 100.0, 60),
        1: Place(Point(9, COMPUTING, 1), 10.0, 0),
        2: Place(Point(8, LOADING, 0), 100.0, 60),
    }
    assert verdict(places, 3, 60).startswith("process 1 of 3 has not answered for 1.0 minutes")


def test_nobody_is_behind() -> None:
    places = {rank: Place(Point(8, COMPUTING, 1), 100.0, 60) for rank in range(2)}
    said = verdict(places, 2, 60)
    assert said.startswith("every one of 2 processes has not moved for 1.0 minutes")
    assert "others" not in said


def test_one_alone() -> None:
    said = verdict({0: Place(Point(4, EVALUATING, 17), 100.0, 60)}, 1, 60)
    assert said.startswith("process 0 of 1 has not moved for 1.0 minutes (iteration 4, evaluating")
    assert "image 17" in said
    assert "others" not in said


WAITING = """
import sys, time
from semask.devices import progress
progress._SILENT = 5
rank, moves = int(sys.argv[1]), int(sys.argv[2])
progress.watch(rank, 2, 3 / 60)
for part in range(moves):
    progress.mark("computing gradients", part=part)
    time.sleep(0.1)
if moves == 0:
    sys.stdin.read()
"""


def started(folder: Path, *moves: int) -> list[subprocess.Popen[str]]:
    """A process for each number of moves, those after the first when that has begun."""
    made = []
    for rank, number in enumerate(moves):
        made.append(
            subprocess.Popen(
                [sys.executable, "-c", WAITING, str(rank), str(number)],
                env={**os.environ, FOLDER: str(folder)},
                stdin=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
            )
        )
        while not (folder / str(rank)).exists():
            time.sleep(0.05)
    return made


def test_who_waits_for_one_that_moves_is_not_ended(tmp_path: Path) -> None:
    moving, waiting = started(tmp_path, 60, 0)
    assert moving.wait(60) == 0
    assert waiting.poll() is None
    _, said = waiting.communicate()
    assert (waiting.returncode, said) == (0, "")


def test_when_none_moves_the_first_says_so(tmp_path: Path) -> None:
    first, second = started(tmp_path, 0, 0)
    assert first.wait(60) == INTERRUPTED
    assert first.stderr is not None
    assert "error: every one of 2 processes has not moved for 0.1 minutes" in first.stderr.read()
    second.communicate()


def test_one_that_looks_for_the_others_is_named() -> None:
    looking, waiting = Point(0, COMPUTING, 5), Point(0, PHASES.index("taking a step"), 0)
    said = verdict({0: Place(looking, 100.0, 60), 1: Place(waiting, 100.0, 60)}, 2, 60)
    assert said.startswith("process 0 of 2 has not moved")
