"""Before anything is trained: how many seeds decide, from which spread, and what they cost."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from semask.comparison.cost import Rate, most_like, row_work
from semask.verdict.seeds import FIGURES, LEVEL, MOST_SEEDS, chances, seeds_needed

_SHOWN = (2, 3, 5, 8, 12, 20, 30, 50, 100, 200, 500, MOST_SEEDS)
# what evaluations that differ in their seed alone have in common
_SAME = ("row", "recipe_digest", "data_fingerprint", "execution")


class Spread(NamedTuple):
    """Standard deviation of a figure over seeds, pooled over rows; in points of mIoU."""

    figure: str  # best or last
    points: float
    interval: tuple[float, float]  # 90 %
    rows: int
    evaluations: int  # of these rows together


def spreads_of(evaluated: Iterable[Mapping[str, Any]]) -> list[Spread]:
    """The spread of best and last mIoU over seeds, from records of rows that have several.

    Returns:
        One for each figure, the largest first; empty if no row has several seeds or all seeds
        score the same.
    """
    rows: dict[str, dict[int, Mapping[str, Any]]] = defaultdict(dict)
    for record in evaluated:
        same = [record["device"]["name"], *(record[key] for key in _SAME)]
        rows[json.dumps(same, sort_keys=True)][record["seed"]] = record["figures"]
    several = [[*seeds.values()] for seeds in rows.values() if len(seeds) > 1]
    found = []
    for figure in FIGURES:
        values = [np.array([scores[figure]["miou"] for scores in seeds]) for seeds in several]
        freedom = sum(len(of_row) - 1 for of_row in values)
        squares = sum(float(((of_row - of_row.mean()) ** 2).sum()) for of_row in values)
        if any(np.ptp(of_row) for of_row in values):
            ends = stats.chi2.ppf([(1 + LEVEL) / 2, (1 - LEVEL) / 2], freedom)
            points, low, high = (float(np.sqrt(squares / by)) for by in (freedom, *ends))
            found.append(Spread(figure, points, (low, high), len(values), sum(map(len, values))))
    return sorted(found, key=lambda spread: -spread.points)


def hours_of_a_seed(
    config: Mapping[str, Any], row: Mapping[str, Any], rates: Sequence[Rate]
) -> float | None:
    """Device-hours of a full run of a row with its evaluations; None without a rate like it.

    Raises:
        InputError: see `semask.comparison.cost.recipe_of`.
    """
    rate = most_like(rates, row, config)
    if rate is None:
        return None
    work = row_work(config, {**row, "modes": ["full"], "seeds": [0]})
    return rate.hours(sum(work), row["processes"]) * row["processes"]


def plan(
    spread: float, margin: float, power: float, hours: Mapping[str, float | None]
) -> tuple[list[list[str]], int | None]:
    """How probable equivalence of two rows without a difference is shown, by seeds a row.

    Spread (standard deviation over seeds) and margin are in points; `hours` has a seed's
    device-hours by name of the row, None where they are not known.

    Returns:
        Rows of a table with its head, up to the number of seeds that is asked for, and this number;
        None if it is above `MOST_SEEDS`.
    """
    both = (spread, spread)
    needed = seeds_needed(both, margin, power=power)
    of_hours = (f"device-hours, {name}" for name in hours)
    table = [["seeds a row", "shown, if the rows do not differ", *of_hours]]
    fewer = [n for n in _SHOWN if needed is None or n < needed]
    for seeds in [*fewer, *([needed] if needed else [])]:
        shown = chances(seeds, both, margin).shown
        cells = ["not known" if each is None else _rounded(seeds * each) for each in hours.values()]
        table.append([str(seeds), f"{100 * shown:.0f} %", *cells])
    return table, needed


def _rounded(hours: float) -> str:
    return f"{hours:,.1f}" if hours >= 1 else f"{hours:.2g}"
