"""Devices that sum in other orders than any honest computation of the yardstick: all pass."""

from dataclasses import replace
from statistics import quantiles

import numpy as np
import pytest

from . import other_arithmetic
from .conftest import PLAIN, Look, ratios, statuses

MODULES = "semantics: modules"


@pytest.mark.usefixtures("shallow")
def test_another_arithmetic_passes(look: Look) -> None:
    found = look(other_arithmetic.turn)[MODULES]
    assert statuses(found) == {}
    # some of it is further off than the yardstick, and none is equal to it
    assert 1 < max(ratios(found).values()) <= 4


@pytest.mark.slow
@pytest.mark.usefixtures("narrow")
def test_two_hundred_of_any_size(look: Look, capsys: pytest.CaptureFixture[str]) -> None:
    """No honest device fails; what of the 43600 modules is to be looked at is told."""
    worst, noted = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        size = tuple(int(side) for side in rng.integers(64, 161, 2))
        execution = replace(PLAIN, fused_attention=seed % 2 == 1)
        found = look(other_arithmetic.turn, size=size, seed=seed, execution=execution)[MODULES]
        worst.append(max((ratio, name) for name, ratio in ratios(found).items()))
        noted += [(seed, size, *each) for each in statuses(found).items()]
        assert found["failed"] == [], (seed, size)
    largest = sorted(ratio for ratio, _ in worst)
    with capsys.disabled():
        print("largest of each:", [f"{x:.2f}" for x in quantiles(largest, n=20)], max(worst))
        print("not passed:", noted)
