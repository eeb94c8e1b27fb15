"""Where the processes of a run are, and an end to runs that stand still.

Each process marks what it does. A thread writes that down every second for the others to read, and
ends the run when nothing has moved for too long, with a word on which process the others wait for.
"""

import faulthandler
import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from semask.base.errors import INTERRUPTED, report

FOLDER = "SEMASK_PROGRESS"
"""Environment variable: folder in which the processes of this machine write where they are."""

PHASES = ("starting", "waiting for data", "computing gradients", "taking a step", "evaluating",
          "writing a checkpoint")  # fmt: skip
"""In the order in which a process comes to them within an iteration."""

# a process whose thread is not heard of for so many seconds is stopped, or holds Python's lock
_SILENT = 10.0


class Point(NamedTuple):
    """How far a process is; earlier points compare as less."""

    iteration: int
    phase: int
    part: int

    def __str__(self) -> str:
        part = f" image {self.part}" if PHASES[self.phase] == "evaluating" and self.part else ""
        return f"iteration {self.iteration}, {PHASES[self.phase]}{part}"


class Place(NamedTuple):
    """Where a process is, when that was heard of, and for how long it had been there; in seconds.

    In a file `heard` is by the clock of the machine that wrote it, which says only that it is new:
    machines' clocks differ. Whoever reads it puts its own time there.
    """

    point: Point
    heard: float
    still: float


_point = Point(0, 0, 0)
_moved = time.monotonic()


def mark(phase: str, iteration: int | None = None, part: int = 0) -> None:
    """Say what this process does from now on.

    `phase` is one of PHASES, `iteration` counts from 1 (None: the last one that was given), `part`
    is one of the phase, for example the number of an image.
    """
    global _point, _moved
    number = _point.iteration if iteration is None else iteration
    _point = Point(number, PHASES.index(phase), part)
    _moved = time.monotonic()


def watch(rank: int, processes: int, minutes: float) -> None:
    """Start the thread that ends this process when it has not moved for so many minutes."""
    mark("starting")
    arguments = (rank, processes, minutes * 60, _folder())
    threading.Thread(target=_watch, args=arguments, daemon=True).start()


def _folder() -> Path | None:
    return Path(os.environ[FOLDER]) if FOLDER in os.environ else None


def _watch(rank: int, processes: int, limit: float, folder: Path | None) -> None:
    pause = min(1.0, limit / 5)
    heard: dict[int, tuple[float, float]] = {}  # what a file said, and since when
    while True:
        time.sleep(pause)
        still = time.monotonic() - _moved
        if folder is not None:
            try:
                written = folder / f".{rank}"
                written.write_text(json.dumps(Place(_point, time.time(), still)), encoding="utf-8")
                written.replace(folder / str(rank))
            except OSError:
                pass  # a full disk is for those to report who have something to lose
        if still < limit / 2:
            continue
        now = time.monotonic()
        places = _read(folder, processes)
        for other, place in places.items():
            if other not in heard or heard[other][0] != place.heard:
                heard[other] = place.heard, now
            places[other] = place._replace(heard=heard[other][1])
        places[rank] = Place(_point, now, still)
        answering = _answering(places)
        still = min(places[other].still for other in answering)
        if still < limit:
            continue  # this process waits for one that moves
        if rank != min(answering):
            time.sleep(_SILENT)  # the one that reports ends the others
            continue
        if _is_first_to_say_so(folder):
            report(f"error: {verdict(places, processes, still)}\n")
            faulthandler.dump_traceback(sys.stderr)
        os._exit(INTERRUPTED)


def _is_first_to_say_so(folder: Path | None) -> bool:
    """Whether no other has: one that wakes up later would blame those that have ended over it."""
    if folder is None:
        return True
    try:
        (folder / "said").touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError:
        pass  # a full disk, as above
    return True


def _read(folder: Path | None, processes: int) -> dict[int, Place]:
    found: dict[int, Place] = {}
    if folder is None:
        return found
    for rank in range(processes):
        try:
            point, *times = json.loads((folder / str(rank)).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # not there yet
        found[rank] = Place(Point(*point), *times)
    return found


def are_starting(processes: int) -> bool:
    """Whether no process of this machine has got beyond its start, as far as they have said."""
    places = _read(_folder(), processes).values()
    return all(PHASES[place.point.phase] == "starting" for place in places)


def _answering(places: Mapping[int, Place]) -> list[int]:
    latest = max(place.heard for place in places.values())
    return [rank for rank, place in places.items() if latest - place.heard < _SILENT]


def verdict(places: Mapping[int, Place], processes: int, still: float) -> str:
    """Which process a run waits for, in one line.

    `places` has where each process that has been heard of is; `still` is for how many seconds
    nothing has moved.
    """
    silent = sorted(set(range(processes)) - set(_answering(places)))
    least = min(place.point for place in places.values())
    last = silent or sorted(rank for rank, place in places.items() if place.point == least)
    which = "process " + " and ".join(f"{rank} of {processes}" for rank in last)
    at = places[last[0]].point if last[0] in places else Point(0, 0, 0)
    if len(last) == processes > 1:
        which = f"every one of {processes} processes"
    does = "has not answered" if silent else "has not moved"
    others = "; the others wait" if len(last) < processes else ""
    return (
        f"{which} {does} for {still / 60:.1f} minutes ({at}){others}; ended: run again to go on "
        "from the last checkpoint, or raise fault_tolerance.stall_minutes"
    )
