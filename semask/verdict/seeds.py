"""Accuracy of two rows over their seeds: two one-sided tests with a margin, and their power.

Each row's figures are taken for draws from a normal distribution of its own: Welch's test, whose
degrees of freedom are Satterthwaite's. Equivalence at 5 % on either side is that the 90 % interval
of the difference lies within the margin (Schuirmann 1987).
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from semask.parity.verdict import NOT_RUN, REFUTED, SHOWN, UNDECIDED, Answer
from semask.verdict.welch import Floats, half_width

LEVEL = 0.9
"""Of the interval: 5 % on either side."""
POWER = 0.8
"""Probability with which the number of seeds that is named would decide."""
MOST_SEEDS = 1000
"""No number of seeds above it is named."""

_QUANTILES = 100  # of each row's variance: probabilities are right to 0.001
FIGURES = {"best": "best mIoU", "last": "last mIoU"}
"""What is compared of evaluations, and its name."""


class Equivalence(NamedTuple):
    """Whether two rows are as accurate as each other; figures in points."""

    answer: Answer  # shown (equivalent), refuted (different), undecided or not run, and why
    difference: float | None = None  # of the means, first row − second; None without a seed
    interval: tuple[float, float] | None = None  # 90 %; None where one seed, or no spread, has none
    seeds: tuple[int, int] = (0, 0)  # of each row
    spread: tuple[float | None, float | None] = (None, None)  # sample standard deviation of each
    # seeds a row that would show equivalence with a probability of 80 %, if the rows do not differ
    # and the spread is as seen; None where that is not known, or above 1000
    needed: int | None = None
    # likewise that would decide, in either sense, if the difference is the one that was seen
    needed_if_so: int | None = None


def of_rows(
    mine: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]], margin: float
) -> dict[str, Equivalence]:
    """Whether two rows are as accurate, by the mIoU of their best and of their last weights.

    A row is given by the records of its evaluations, one for each seed; the margin is in points.

    Returns:
        best, last: the comparison of each. Rows are as accurate if both are shown.
    """
    found = {}
    for which, name in FIGURES.items():
        a, b = ([record["figures"][which]["miou"] for record in row] for row in (mine, theirs))
        found[which] = equivalence(a, b, margin, name)
    return found


def equivalence(
    mine: Sequence[float], theirs: Sequence[float], margin: float, name: str = "mIoU"
) -> Equivalence:
    """Two one-sided tests of a figure of two rows, one for each seed, in percent, at 5 % each.

    Rows that differ by less than the margin, points above 0, are as good as each other.
    """
    seeds = (len(mine), len(theirs))
    if not all(seeds):
        return Equivalence(Answer(NOT_RUN, "a row has no full run, hence no accuracy"), seeds=seeds)
    rows = np.asarray(mine, float), np.asarray(theirs, float)
    difference = float(rows[0].mean() - rows[1].mean())
    found = Equivalence(
        Answer(UNDECIDED, ""), difference, None, seeds, (_spread(rows[0]), _spread(rows[1]))
    )
    said = f"{name}: {difference:+.2f} points, {_counted(seeds)}"
    known = [spread for spread in found.spread if spread is not None]
    # of a row with one seed, the spread is taken to be the other's
    needed = partial(seeds_needed, (known[0], known[-1]), margin) if any(known) else None
    if needed is not None:
        found = found._replace(needed=needed(), needed_if_so=needed(difference))
    if 1 in seeds:
        why = f"{said}: one seed decides nothing, its spread is not known"
        if needed is not None:
            why += f"; {_what_would_decide(found, margin)}"
        return found._replace(answer=Answer(UNDECIDED, why))
    if needed is None:
        why = (
            f"{said}: all seeds of a row score the same, which leaves no spread to judge by; look "
            "whether they were trained with different seeds"
        )
        return found._replace(answer=Answer(UNDECIDED, why))
    low, high = (float(end) for end in interval(*rows))
    why = f"{said}, {100 * LEVEL:.0f} % interval {low:+.2f} to {high:+.2f}"
    if -margin < low and high < margin:
        answer = Answer(SHOWN, f"{why}, within ±{margin:g}")
    elif low > margin or high < -margin:
        answer = Answer(REFUTED, f"{why}, beyond ±{margin:g}")
    else:
        answer = Answer(UNDECIDED, f"{why}; {_what_would_decide(found, margin)}")
    return found._replace(answer=answer, interval=(low, high))


def _spread(row: Floats) -> float | None:
    if len(row) < 2:
        return None
    # of equal figures exactly 0, which rounding of their mean would not give
    return float(row.std(ddof=1)) if np.ptp(row) else 0.0


def _counted(seeds: tuple[int, int]) -> str:
    words = [f"{n} seed{'s' if n > 1 else ''}" for n in seeds]
    return f"{words[0]} a row" if seeds[0] == seeds[1] else f"{words[0]} against {words[1]}"


def _what_would_decide(found: Equivalence, margin: float) -> str:
    often = f"in {100 * POWER:.0f} % of cases"
    said = f"if the rows do not differ, {_number(found.needed)} a row would show it {often}"
    if found.needed_if_so != found.needed:
        said += f", and {_number(found.needed_if_so)} would decide if they differ by so much"
    return f"{said} (margin {margin:g})"


def _number(seeds: int | None) -> str:
    return f"more than {MOST_SEEDS:,} seeds" if seeds is None else f"{seeds} seeds"


def interval(mine: ArrayLike, theirs: ArrayLike) -> tuple[Floats, Floats]:
    """Welch's 90 % interval of the difference of two means, for many pairs of rows at once.

    Figures are of any shape, of both rows the same but for the last axis: the seeds, at least 2.

    Returns:
        Lower and upper ends, without the last axis; NaN where no figure differs from another.
    """
    rows = [np.asarray(row, float) for row in (mine, theirs)]
    difference = rows[0].mean(-1) - rows[1].mean(-1)
    counts = [row.shape[-1] for row in rows]
    half = half_width([row.var(-1, ddof=1) for row in rows], counts, LEVEL)
    return difference - half, difference + half


class Chances(NamedTuple):
    """Probabilities of the two decided outcomes."""

    shown: float
    refuted: float


def chances(
    seeds: int, spread: tuple[float, float], margin: float, difference: float = 0.0
) -> Chances:
    """How probable it is that two rows with some seeds each are decided.

    Computed, not drawn: the mean of the difference's normal distribution over the quantiles of the
    two rows' variances, which decide the width of the interval and are independent of it. Each row
    has at least 2 seeds. Its standard deviation over them, of one row above 0, the margin and the
    true difference are in points.
    """
    probabilities = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    variance = stats.chi2.ppf(probabilities, seeds - 1) / (seeds - 1)
    of_rows = spread[0] ** 2 * variance[:, None], spread[1] ** 2 * variance[None, :]
    half = half_width(of_rows, (seeds, seeds), LEVEL)
    deviation = np.sqrt((spread[0] ** 2 + spread[1] ** 2) / seeds)
    room = np.maximum(margin - half, 0)  # no interval wider than the margin lies within it
    below = stats.norm.cdf((room - difference) / deviation)
    shown = below - stats.norm.cdf((-room - difference) / deviation)
    above = stats.norm.sf((margin + half - difference) / deviation)
    refuted = above + stats.norm.cdf((-margin - half - difference) / deviation)
    return Chances(float(shown.mean()), float(refuted.mean()))


def seeds_needed(
    spread: tuple[float, float], margin: float, difference: float = 0.0, power: float = POWER
) -> int | None:
    """Fewest seeds a row with which two rows are decided with a probability of at least `power`.

    Without a difference only what shows equivalence counts, with one both outcomes do.

    Returns:
        The number, from 2 on; None if it is above `MOST_SEEDS`.
    """

    def enough(seeds: int) -> bool:
        found = chances(seeds, spread, margin, difference)
        return found.shown + (found.refuted if difference else 0) >= power

    if not enough(MOST_SEEDS):
        return None
    return bisect_left(range(MOST_SEEDS), True, lo=2, key=enough)
