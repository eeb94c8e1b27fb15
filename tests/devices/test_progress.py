"""Which process a run waits for. That runs are really ended is tested with real ones."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

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


def test_the_one_that_was_never_heard_of_is_named() -> None:
    said = verdict({0: Place(Point(2, COMPUTING, 1), 100.0, 60)}, 2, 60)
    assert said.startswith("process 1 of 2 has not answered for 1.0 minutes (iteration 0, starting")
    assert "the others wait" in said


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
progress._SILENT = 60
rank, moves, late = map(int, sys.argv[1:])
clock = time.time
time.time = lambda: clock() - late
print("ready", flush=True)
sys.stdin.readline()
progress.watch(rank, 2, 3 / 60)
for part in range(moves):
    progress.mark("computing gradients", part=part)
    time.sleep(0.1)
if moves == 0:
    sys.stdin.read()
"""


def started(folder: Path, *moves: int, late: int = 0) -> list[subprocess.Popen[str]]:
    """A process for each number of moves; all begin when all are there, and have been heard of.

    The clock of the second one is `late` by so many seconds.
    """
    for rank in range(len(moves)):
        place = Place(Point(0, 0, 0), time.time(), 0)
        (folder / str(rank)).write_text(json.dumps(place), encoding="utf-8")
    made = [
        subprocess.Popen(
            [sys.executable, "-c", WAITING, *map(str, (rank, number, rank * late))],
            env={**os.environ, FOLDER: str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        for rank, number in enumerate(moves)
    ]
    for process in made:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in made:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return made


def test_who_waits_for_one_that_moves_is_not_ended(tmp_path: Path) -> None:
    moving, waiting = started(tmp_path, 60, 0)
    assert moving.wait(300) == 0
    assert waiting.poll() is None
    _, said = waiting.communicate()
    assert (waiting.returncode, said) == (0, "")


@pytest.mark.parametrize("late", [1000, -1000])
def test_when_none_moves_the_first_says_so(tmp_path: Path, late: int) -> None:
    """Whatever the clocks of their machines."""
    first, second = started(tmp_path, 0, 0, late=late)
    assert first.wait(300) == INTERRUPTED
    assert first.stderr is not None
    said = first.stderr.read()
    assert re.search(r"error: every one of 2 processes has not moved for \d\.\d minutes", said)
    second.communicate()


def test_what_one_has_said_no_other_says(tmp_path: Path) -> None:
    """As one that was stopped itself, and wakes up when the others have ended over it."""
    (tmp_path / "said").touch()
    first, second = started(tmp_path, 0, 0)
    assert first.wait(300) == INTERRUPTED
    assert first.stderr is not None
    assert first.stderr.read() == ""
    second.communicate()


def test_one_that_looks_for_the_others_is_named() -> None:
    looking, waiting = Point(0, COMPUTING, 5), Point(0, PHASES.index("taking a step"), 0)
    said = verdict({0: Place(looking, 100.0, 60), 1: Place(waiting, 100.0, 60)}, 2, 60)
    assert said.startswith("process 0 of 2 has not moved")
