"""Which runs a row has in a mode, which are measured first, and which rows have none."""

from collections.abc import Mapping
from itertools import count, islice
from typing import Any


def seeds_of(config: Mapping[str, Any], row: Mapping[str, Any], mode: str) -> list[int]:
    """Seeds of a row's runs in a mode.

    In the mode `performance` a row has at least `performance.repeats` runs: those of its own seeds,
    then of the smallest numbers that are not among them. A run with another seed is no other
    measurement; its images come in another order, which two runs of one seed would hide.
    """
    own = [int(seed) for seed in row["seeds"]]
    if mode != "performance":
        return own
    more = (seed for seed in count() if seed not in own)
    return own + list(islice(more, max(0, config["performance"]["repeats"] - len(own))))


def turn(config: Mapping[str, Any], row: Mapping[str, Any], seed: str | int) -> int:
    """Priority of a performance run, by which rows take turns: each the first run, then the second.

    Else a machine that gets slower with time (warmer, fuller) would show as a difference of rows.
    0 for the last runs, so that without repeats all have Snakemake's own priority.
    """
    runs = [
        len(seeds_of(config, other, "performance"))
        for other in config["rows"]
        if "performance" in other["modes"]
    ]
    return max(runs) - 1 - seeds_of(config, row, "performance").index(int(seed))


def with_figures(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows that a table has figures of, which a profile alone is none."""
    return [dict(row) for row in config["rows"] if {*row["modes"]} != {"profile"}]
