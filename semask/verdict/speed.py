"""The ratio of two rows' FPS, with an interval: of the iterations, or of repeated runs.

Iteration times go together (loaders work in waves, clocks and caches warm up), so single ones must
not be drawn: blocks of consecutive ones are (the moving-block bootstrap, Künsch 1989). What differs
between one start of a program and the next is in no run's iterations. Where both rows have several
runs, these are the draws, and the interval is Welch's of the logarithms of their FPS: three runs
are too few to be resampled.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from semask.comparison.rows import disturbances_of
from semask.parity.verdict import NOT_RUN, REFUTED, SHOWN, UNDECIDED, Answer
from semask.verdict.welch import Floats, half_width, quantile

LEVEL = 0.95
RESAMPLES = 10_000
SEED = 0  # of the resampling: equal records give equal intervals
FEWEST_ITERATIONS = 4  # fewer have no two blocks of two
_MOST = 100  # more is not named


class Run(NamedTuple):
    """A performance run."""

    images: int  # of an iteration
    seconds: Floats  # of the iterations in the steady window
    disturbed: tuple[str, ...] = ()  # what else went on that makes its speed say little, in words

    @property
    def fps(self) -> float:
        """Images per second over the window."""
        return float(self.images * len(self.seconds) / self.seconds.sum())


class Speed(NamedTuple):
    """Whether a row is as fast as another one."""

    # shown, refuted (slower by more than the margin), undecided (also where a run was disturbed) or
    # not run, and why
    answer: Answer
    ratio: float | None = None  # FPS of the row / the other's; of several runs geometric means
    interval: tuple[float, float] | None = None  # 95 %; None of too few iterations
    runs: tuple[int, int] = (0, 0)  # of each row
    of_runs: bool = False  # whether variation between runs is in the interval
    # undecided: runs a row (if `of_runs`), or how many times the iterations, that would decide if
    # ratio and spread are as they were seen; None where that is above 100
    needed: int | None = None


def run_of(record: Mapping[str, Any], log: Sequence[Mapping[str, Any]]) -> Run:
    """The steady window of a performance run, from its record and the lines of its log.

    That the record's figures follow from the log is checked before, by
    `semask.comparison.recomputed.check_training`.
    """
    seconds = [line["seconds"] for line in log if "evaluation" not in line]
    return Run(
        record["recipe"]["training"]["global_batch"],
        np.array(seconds[record["figures"]["speed"]["warmup_iterations"] :], float),
        tuple(disturbances_of(record)),
    )


def of_rows(mine: Sequence[Run], theirs: Sequence[Run], margin: float) -> Speed:
    """Whether a row is as fast as the other, by their performance runs, but for a margin.

    That is the part of the other row's FPS by which it may be slower, 0 … 1.
    """
    runs = (len(mine), len(theirs))
    if not all(runs):
        return Speed(Answer(NOT_RUN, "a row has no performance run, hence no speed"), runs=runs)
    rows = [np.log([run.fps for run in row]) for row in (mine, theirs)]
    center = float(rows[0].mean() - rows[1].mean())
    found = Speed(Answer(UNDECIDED, ""), math.exp(center), None, runs, min(runs) > 1)
    said = f"{found.ratio:.3f} of the other row's FPS"
    if min(len(run.seconds) for run in (*mine, *theirs)) < FEWEST_ITERATIONS:
        why = f"{said}, of fewer than {FEWEST_ITERATIONS} iterations: measure more of them"
        return found._replace(answer=Answer(UNDECIDED, why))
    if found.of_runs:
        half = _half_width(rows, runs)
        low, high = -half, half
    else:
        low, high = _within_runs(mine, theirs)
    ends = math.exp(center + low), math.exp(center + high)
    said += f", {100 * LEVEL:.0f} % interval {ends[0]:.3f} to {ends[1]:.3f}"
    said += f", {_counted(found, mine, theirs)}"
    least = 1 - margin
    disturbed = _disturbed(mine, theirs)
    if disturbed:
        return found._replace(answer=Answer(UNDECIDED, f"{disturbed}; {said}"), interval=ends)
    if ends[0] >= least or ends[1] < least:
        is_as_fast = SHOWN if ends[0] >= least else REFUTED
        answer = Answer(is_as_fast, f"{said}; at least {least:g} is asked for")
    else:
        lacking = math.log(least) - center
        if found.of_runs:
            enough = (n for n in range(2, _MOST + 1) if _half_width(rows, (n, n)) < abs(lacking))
            needed, what = next(enough, None), "runs a row"
        else:
            end = low if lacking < 0 else high
            needed, what = _times_more(end, lacking), "times the iterations"
        found = found._replace(needed=needed)
        if needed is None:
            said += "; too close to call at"
        else:
            said += f"; some {needed} {what} would tell whether it is at least"
        answer = Answer(UNDECIDED, f"{said} {least:g}")
    return found._replace(answer=answer, interval=ends)


def _disturbed(mine: Sequence[Run], theirs: Sequence[Run]) -> str:
    """Why runs say nothing of the speed of their rows; empty where they do."""
    for row, of in ((mine, ""), (theirs, " of the other row")):
        for run in row:
            if run.disturbed:
                return f"in a run{of}, {' and '.join(run.disturbed)}: measure it again undisturbed"
    return ""


def _counted(found: Speed, mine: Sequence[Run], theirs: Sequence[Run]) -> str:
    if found.of_runs:
        return f"over {found.runs[0]} runs and {found.runs[1]} of the other row"
    counts = [sum(len(run.seconds) for run in row) for row in (mine, theirs)]
    return (
        f"over {counts[0]} and {counts[1]} iterations; variation between runs is not in it, since "
        "a row has one run only"
    )


def _half_width(rows: Sequence[Floats], runs: tuple[int, int]) -> float:
    """Half of Welch's interval of the runs' logarithms of FPS, if each row had so many runs."""
    variances = [float(row.var(ddof=1)) for row in rows]
    return float(half_width(variances, runs, LEVEL)) if any(variances) else 0.0


def _times_more(reach: float, width: float) -> int | None:
    """How many times the iterations bring an interval from `reach` down to `width`.

    It is half as wide with four times as many.
    """
    times = (reach / width) ** 2 if width else math.inf
    return math.ceil(times) if times < _MOST else None


def _within_runs(mine: Sequence[Run], theirs: Sequence[Run]) -> tuple[float, float]:
    """Ends of the interval, relative to its centre, of the logarithm of the ratio."""
    source = np.random.default_rng(SEED)
    deviations, freedom = zip(*(_deviations(row, source) for row in (mine, theirs)), strict=True)
    # more time is less speed
    drawn = deviations[1] - deviations[0]
    variances = [float(row.var()) for row in deviations]
    # Of few blocks the quantiles of a resampling are too narrow, as those of a normal distribution
    # are beside Student's.
    wider = 1.0
    if any(variances):
        student = quantile(variances, freedom, LEVEL)
        wider = float(student) / stats.norm.ppf((1 + LEVEL) / 2)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(min(wider * low, 0.0)), float(max(wider * high, 0.0))


def _deviations(runs: Sequence[Run], source: np.random.Generator) -> tuple[Floats, int]:
    """Resampled deviations of the mean, over a row's runs, of the logarithm of the mean time.

    And the degrees of freedom of their variance.
    """
    drawn, freedom = np.zeros(RESAMPLES), 0
    for run in runs:
        count = len(run.seconds)
        length = math.ceil(math.sqrt(count))
        blocks = math.ceil(count / length)
        sums = np.concatenate([[0.0], np.cumsum(run.seconds)])
        means = (sums[length:] - sums[:-length]) / length
        resampled = means[source.integers(len(means), size=(RESAMPLES, blocks))].mean(1)
        # blocks may hold a few iterations more than there are, and their mean is one of them
        unbiased = math.sqrt(blocks * length / count * blocks / (blocks - 1))
        drawn += unbiased * np.log(resampled / means.mean()) / len(runs)
        freedom += blocks - 1
    return drawn, freedom
