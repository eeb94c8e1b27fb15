"""How far a training run is, read from its files while it runs or after it was interrupted.

Only the end of a log is read, as often as somebody looks. Half-written and damaged lines are passed
over, and so is what another version of the trainer may have left out.
"""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from semask.training.workdir import IDENTITY, LOG

# bytes of a log that are looked at: some 60 iterations
_TAIL = 2**14
# bytes that are looked through, on the first look, for the last evaluation: some 20,000 iterations
_FURTHER = 2**22


class Plan(NamedTuple):
    """What a training run has before it."""

    iterations: int
    evaluate_every: int | None
    global_batch: int

    def evaluations(self, iteration: int) -> int:
        """How many evaluations are due up to an iteration."""
        if self.evaluate_every is None:
            return 0
        at_the_end = iteration >= self.iterations and self.iterations % self.evaluate_every > 0
        return iteration // self.evaluate_every + at_the_end


class Progress(NamedTuple):
    """How far a training run is, as the end of its log tells.

    `seconds` and `waiting` are of an iteration, means over the last ones; `written` is when the log
    was written to, by the file system's clock. What the log does not tell is None.
    """

    iteration: int
    loss: float | None
    seconds: float | None
    waiting: float | None
    evaluated: int  # after which iteration; 0 for none
    miou: float | None
    evaluation_seconds: float | None
    written: float


def read_plan(work: Path) -> Plan | None:
    """What the run of a work directory has before it; None where it is not known yet."""
    try:
        training = json.loads((work / IDENTITY).read_bytes())["recipe"]["training"]
        every = training["evaluate_every"]
        return Plan(
            iterations=int(training["iterations"]),
            evaluate_every=None if every is None else max(1, int(every)),
            global_batch=int(training["global_batch"]),
        )
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def read_progress(folder: Path, before: Progress | None = None) -> Progress | None:
    """How far a run is, by the end of the log in a folder; None without a log, or an empty one.

    What the last look found, `before`, knows of the last evaluation.
    """
    try:
        with open(folder / LOG, "rb") as file:
            size = file.seek(0, 2)
            written = (folder / LOG).stat().st_mtime
            lines = _whole_lines(file, size, _TAIL)
            last = lines[-1]["iteration"] if lines else 0
            evaluations = [line for line in lines if "evaluation" in line]
            known = before is not None and before.iteration <= last
            if not evaluations and not known and size > _TAIL:
                evaluations = [x for x in _whole_lines(file, size, _FURTHER) if "evaluation" in x]
    except OSError:
        return None
    if not lines:
        return None
    steps = [line for line in lines if "evaluation" not in line]
    scored: tuple[int, float | None, float | None] = (0, None, None)
    if evaluations:
        line = evaluations[-1]
        scores = line["evaluation"] if isinstance(line["evaluation"], Mapping) else {}
        scored = line["iteration"], _number(scores.get("miou")), _number(line.get("seconds"))
    elif before is not None and known:
        scored = before.evaluated, before.miou, before.evaluation_seconds
    return Progress(
        last,
        _number(steps[-1].get("loss")) if steps else None,
        _mean([line.get("seconds") for line in steps]),
        _mean([line.get("data_seconds") for line in steps]),
        *scored,
        written,
    )


def _whole_lines(file: Any, size: int, length: int) -> list[dict[str, Any]]:
    """Lines within the last bytes of a log; cut ones and those that are none are passed over."""
    start = max(0, size - length)
    file.seek(start)
    pieces = file.read(size - start).split(b"\n")
    # what follows the last line's end is half-written; what comes first may begin within a line
    pieces = pieces[0 if start == 0 else 1 : -1]
    lines = []
    for piece in pieces:
        try:
            line = json.loads(piece)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict) and type(line.get("iteration")) is int:
            lines.append(line)
    return lines


def _number(value: object) -> float | None:
    """A number that is one; None else."""
    with suppress(OverflowError):  # an integer of more than 308 digits
        if isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    return None


def _mean(values: Sequence[object]) -> float | None:
    """Mean of durations without the longest one: a first iteration may compile the model."""
    durations = sorted(x for x in map(_number, values) if x is not None and x >= 0)
    if len(durations) > 2:
        del durations[-1]
    return sum(durations) / len(durations) if durations else None
