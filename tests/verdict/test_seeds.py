"""Equivalence over seeds: right intervals, errors as often as promised, power as specified."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from semask.verdict.seeds import chances, equivalence, interval, of_rows, seeds_needed

from ..conftest import REPOSITORY

TRIALS = 20_000
# three standard errors of a share of so many trials
NOISE = 3 * np.sqrt(0.25 / TRIALS)

# power at no difference: seeds a row, spread and margin in points, percent
SPECIFIED = [
    (3, 0.3, 0.5, 17),
    (5, 0.3, 0.5, 53),
    (8, 0.3, 0.5, 87),
    (8, 0.5, 0.5, 22),
    (20, 0.5, 0.5, 85),
    (5, 0.5, 1.0, 77),
]


def drawn(
    n: int, spread: tuple[float, float], margin: float, difference: float
) -> tuple[float, float]:
    """Shares of simulated pairs of rows that are shown and refuted."""
    source = np.random.default_rng(20)
    mine = source.normal(difference, spread[0], (TRIALS, n))
    theirs = source.normal(0, spread[1], (TRIALS, n))
    low, high = interval(mine, theirs)
    shown = (-margin < low) & (high < margin)
    refuted = (low > margin) | (high < -margin)
    return float(shown.mean()), float(refuted.mean())


@pytest.mark.parametrize(("n", "spread", "margin", "percent"), SPECIFIED)
def test_power_is_as_specified(n: int, spread: float, margin: float, percent: int) -> None:
    of_both = (spread, spread)
    computed = chances(n, of_both, margin)
    assert 100 * computed.shown == pytest.approx(percent, abs=1)
    shown, refuted = drawn(n, of_both, margin, 0.0)
    assert shown == pytest.approx(computed.shown, abs=NOISE)
    assert refuted == pytest.approx(computed.refuted, abs=NOISE)


def test_documented_power_is_the_computed_one() -> None:
    lines = (REPOSITORY / "docs" / "verdict.md").read_text(encoding="utf-8").splitlines()
    [start] = [n for n, line in enumerate(lines) if line.startswith("| spread (standard")]
    rows = [line.strip("| ").split(" | ") for line in lines[start + 2 : start + 6]]
    for spread, margin, *percents in rows:
        of_both = (float(spread), float(spread))
        for n, percent in zip((3, 5, 8, 12, 20), percents, strict=True):
            assert percent == f"{100 * chances(n, of_both, float(margin)).shown:.0f} %"


@pytest.mark.parametrize("spread", [(0.3, 0.3), (0.1, 0.5), (0.02, 0.02)])
@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_either_error_happens_at_most_in_one_of_twenty_cases(
    n: int, spread: tuple[float, float]
) -> None:
    """At a difference of just the margin, where either answer would be wrong most often."""
    shown, refuted = drawn(n, spread, 0.5, 0.5)
    # Satterthwaite's degrees of freedom are an approximation, worst with two seeds
    assert shown < 0.05 + NOISE + 0.01
    assert refuted < 0.05 + NOISE + 0.01
    computed = chances(n, spread, 0.5, 0.5)
    assert (shown, refuted) == pytest.approx(computed, abs=NOISE)
    if spread == (0.02, 0.02):  # narrow beside the margin: each error as often as it may be
        assert shown > 0.02


def test_the_interval_is_scipys() -> None:
    source = np.random.default_rng(0)
    mine, theirs = source.normal(50, 1, 3), source.normal(51, 3, 7)
    expected = ttest_ind(mine, theirs, equal_var=False).confidence_interval(0.9)
    assert interval(mine, theirs) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(
    ("mine", "theirs", "answer", "says"),
    [
        # the half-width with 3 seeds of equal spread is 2.13 standard errors
        ([50.0, 50.1, 50.2], [50.1, 50.0, 50.2], "shown", "-0.17 to +0.17, within ±0.5"),
        ([50.0, 50.1, 50.2], [51.0, 51.1, 51.2], "refuted", "-1.17 to -0.83, beyond ±0.5"),
        ([50.0, 50.1, 50.2], [50.5, 50.6, 50.7], "undecided", "if they differ by so much"),
        ([50.0, 51.0], [50.2, 50.9], "undecided", "27 seeds a row would show it"),
        ([50.0], [50.0], "undecided", "1 seed a row: one seed decides nothing"),
        ([50.0], [50.0, 50.4, 50.2], "undecided", "1 seed against 3 seeds: one seed decides"),
        ([50.0, 50.0], [50.1, 50.1], "undecided", "no spread to judge by"),
        ([], [50.0], "not run", "no full run"),
    ],
)
def test_answers_and_their_sentences(
    mine: list[float], theirs: list[float], answer: str, says: str
) -> None:
    found = equivalence(mine, theirs, 0.5)
    assert found.answer.answer == answer
    assert says in found.answer.why


def test_undecided_names_the_seeds_that_would_decide() -> None:
    found = equivalence([50.0, 50.8, 49.9], [50.3, 49.8, 50.6], 0.5)
    assert found.answer.answer == "undecided"
    assert found.needed is not None
    assert f"{found.needed} seeds a row would show it in 80 % of cases" in found.answer.why
    spread = (found.spread[0] or 0, found.spread[1] or 0)
    assert spread == pytest.approx((np.std([50, 50.8, 49.9], ddof=1), np.sqrt(0.1633333)))
    assert chances(found.needed, spread, 0.5).shown >= 0.8
    assert chances(found.needed - 1, spread, 0.5).shown < 0.8
    # a difference near the margin takes many more
    assert found.difference == pytest.approx(0)
    near = equivalence([50.4, 51.2, 50.3], [50.3, 49.8, 50.6], 0.5)
    assert near.needed == found.needed
    assert near.needed_if_so is None or near.needed_if_so > 2 * found.needed


def test_seeds_that_are_needed() -> None:
    assert seeds_needed((0.3, 0.3), 0.5) == 8
    # of the embedded experiment, as docs/verdict.md says
    known = (float(np.std([52.4, 54.5, 53.7], ddof=1)),) * 2
    assert (seeds_needed(known, 0.5), seeds_needed(known, 2.0)) == (78, 6)
    assert seeds_needed((0.3, 0.3), 0.5, power=0.5) == 5
    assert seeds_needed((0.001, 0.001), 0.5) == 2
    assert seeds_needed((0.3, 0.3), 0.5, difference=3.0) == 2
    # no number of seeds decides a difference that is the margin
    assert seeds_needed((0.3, 0.3), 0.5, difference=0.5) is None
    assert seeds_needed((10.0, 10.0), 0.5) is None


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.floats(40, 60), min_size=2, max_size=6),
    st.lists(st.floats(40, 60), min_size=2, max_size=6),
    st.floats(0.1, 5),
)
def test_rows_can_be_exchanged(mine: list[float], theirs: list[float], margin: float) -> None:
    there, back = equivalence(mine, theirs, margin), equivalence(theirs, mine, margin)
    assert there.answer.answer == back.answer.answer
    assert there.needed == back.needed
    if there.interval and back.interval:
        assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]), abs=1e-9)


def test_both_the_best_and_the_last_weights_are_compared() -> None:
    def record(best: float, last: float) -> dict[str, object]:
        return {"figures": {"best": {"miou": best}, "last": {"miou": last}}}

    mine = [record(50.0, 48.0), record(50.1, 48.1), record(50.2, 48.2)]
    theirs = [record(50.1, 49.6), record(50.2, 49.7), record(50.0, 49.8)]
    found = of_rows(mine, theirs, 0.5)
    assert {which: each.answer.answer for which, each in found.items()} == {
        "best": "shown",
        "last": "refuted",
    }
    assert found["last"].answer.why.startswith("last mIoU: -1.60 points, 3 seeds a row")
