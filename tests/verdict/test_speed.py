"""Speed: intervals that hold what they should, and what follows from them."""

from typing import Any

import numpy as np
import pytest

from semask.training.measurement import speed as figures_of
from semask.verdict import speed
from semask.verdict.speed import Run, of_rows, run_of

from ..conftest import conditions

CASES = 300


def times(
    source: np.random.Generator, count: int, *, mean: float = 0.25, relation: float = 0.0
) -> np.ndarray:
    """Seconds of iterations that spread by 7 %, each related to the one before it."""
    noise = source.normal(0, 1, count + 20)
    for n in range(1, len(noise)):
        noise[n] = relation * noise[n - 1] + np.sqrt(1 - relation**2) * noise[n]
    return mean * (1 + 0.07 * noise[20:])


def coverage(count: int, relation: float) -> float:
    """Share of cases in which the interval of two equally fast rows holds 1."""
    source = np.random.default_rng(3)
    found = [
        of_rows(
            *([Run(8, times(source, count, relation=relation))] for _ in range(2)), 0.05
        ).interval
        for _ in range(CASES)
    ]
    return float(np.mean([each[0] <= 1 <= each[1] for each in found if each]))


@pytest.fixture
def fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "RESAMPLES", 1000)


@pytest.mark.parametrize(
    ("count", "relation", "least"),
    [(30, 0.0, 0.92), (30, -0.5, 0.92), (30, 0.5, 0.87), (250, 0.0, 0.92), (250, 0.5, 0.91)],
)
@pytest.mark.usefixtures("fewer_resamples")
def test_the_interval_of_iterations_holds_the_ratio(
    count: int, relation: float, least: float
) -> None:
    covered = coverage(count, relation)
    assert least <= covered <= 0.995


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_interval_of_runs_holds_the_ratio(count: int) -> None:
    """Where runs differ by more than their iterations tell, which one run cannot know."""
    source = np.random.default_rng(5)

    def row() -> list[Run]:
        means = 0.25 * np.exp(source.normal(0, 0.02, count))
        return [Run(8, times(source, 30, mean=mean)) for mean in means]

    intervals = [of_rows(row(), row(), 0.05).interval for _ in range(1000)]
    covered = np.mean([each[0] <= 1 <= each[1] for each in intervals if each])
    assert covered >= 0.94


def exact(mean: float, count: int = 100, images: int = 8) -> Run:
    """A run whose iterations take turns about a mean, by 2 %."""
    return Run(images, mean * (1 + 0.02 * np.tile([1.0, -1.0], count // 2)))


def test_answers_and_their_sentences() -> None:
    shown = of_rows([exact(0.26)], [exact(0.25)], 0.05)
    assert shown.answer.answer == "shown"
    assert shown.ratio == pytest.approx(25 / 26)
    assert shown.interval is not None
    assert 0.95 < shown.interval[0] < 25 / 26 < shown.interval[1]
    assert shown.answer.why.startswith("0.962 of the other row's FPS, 95 % interval 0.9")
    assert "over 100 and 100 iterations; variation between runs is not in it" in shown.answer.why

    refuted = of_rows([exact(0.30)], [exact(0.25)], 0.05)
    assert refuted.answer.answer == "refuted"
    assert "at least 0.95 is asked for" in refuted.answer.why
    # faster by any factor is as fast
    assert of_rows([exact(0.1)], [exact(0.25)], 0.05).answer.answer == "shown"
    # other batches
    doubled = of_rows([exact(0.52, images=16)], [exact(0.25)], 0.05)
    assert doubled.ratio == pytest.approx(shown.ratio)

    assert of_rows([], [exact(0.25)], 0.05).answer.answer == "not run"
    assert of_rows([exact(0.1, count=2)], [exact(0.25)], 0.05).answer.answer == "undecided"


def test_undecided_says_how_many_more_would_decide() -> None:
    source = np.random.default_rng(0)
    few, reference = times(source, 30, mean=0.257), times(source, 30)
    found = of_rows([Run(8, few)], [Run(8, reference)], 0.05)
    assert found.answer.answer == "undecided"
    assert found.needed is not None
    assert f"some {found.needed} times the iterations would tell" in found.answer.why
    # the same again, so many times
    many = 1 + found.needed
    decided = of_rows([Run(8, np.tile(few, many))], [Run(8, np.tile(reference, many))], 0.05)
    assert decided.answer.answer in ("shown", "refuted")
    at_the_margin = of_rows([Run(8, few / 0.95)], [Run(8, few)], 0.05)
    assert at_the_margin.answer.answer == "undecided"
    assert at_the_margin.needed is None
    assert at_the_margin.answer.why.endswith("too close to call at 0.95")


def test_repeated_runs_take_the_place_of_iterations() -> None:
    """A row whose runs differ is not decided by one of them, however long."""
    mine, theirs = [exact(0.24), exact(0.26)], [exact(0.25), exact(0.251)]
    assert of_rows(mine[:1], theirs[:1], 0.05).answer.answer == "shown"
    both = of_rows(mine, theirs, 0.05)
    assert both.answer.answer == "undecided"
    assert both.of_runs
    assert "over 2 runs and 2 of the other row" in both.answer.why
    assert not of_rows(mine, theirs[:1], 0.05).of_runs
    # with as many as it says, of the same mean and spread, it is decided; with fewer it is not
    assert both.needed is not None
    assert f"some {both.needed} runs a row would tell" in both.answer.why
    spread = [0.24, 0.26]
    for count, decided in ((both.needed + 1, True), (both.needed // 2, False)):
        row = [exact(spread[n % 2]) for n in range(2 * (count // 2))]
        reference = [exact(0.25) for _ in row]
        assert (of_rows(row, reference, 0.05).answer.answer != "undecided") == decided
    alike = of_rows([exact(0.25)] * 3, [exact(0.25)] * 3, 0.05)
    assert alike.answer.answer == "shown"
    assert alike.interval == pytest.approx((1, 1))


def test_the_same_runs_give_the_same_interval() -> None:
    source = np.random.default_rng(1)
    runs = [Run(8, times(source, 40))], [Run(8, times(source, 40))]
    assert of_rows(*runs, 0.05) == of_rows(*runs, 0.05)


def test_the_window_is_the_records(make_record: Any) -> None:
    seconds = [5.0, 3.0, *times(np.random.default_rng(2), 20)]
    record = make_record("train", mode="performance")
    record["figures"]["speed"] = figures_of(
        seconds, [0.0] * 22, communication=None, global_batch=32, warmup_iterations=2,
        log_window=None,
    )  # fmt: skip
    log = [{"iteration": n, "seconds": took} for n, took in enumerate(seconds, 1)]
    paused = {"iteration": 10, "evaluation": {"miou": 1.0}, "seconds": 60.0}

    run = run_of(record, [*log[:10], paused, *log[10:]])

    assert run.images == 32
    np.testing.assert_array_equal(run.seconds, seconds[2:])
    assert run.fps == pytest.approx(record["figures"]["speed"]["fps"])
    assert run.disturbed == ()


def test_disturbed_runs_decide_nothing(make_record: Any) -> None:
    seconds = [*times(np.random.default_rng(2), 20)]
    record = make_record("train", mode="performance")
    figures = figures_of(
        seconds, [0.0] * 20, communication=None, global_batch=32, warmup_iterations=2,
        log_window=None,
    )  # fmt: skip
    log = [{"iteration": n, "seconds": took} for n, took in enumerate(seconds, 1)]

    def run(*machines: Any) -> Run:
        record["figures"]["speed"] = {**figures, "conditions": [*machines]}
        return run_of(record, log)

    fast, slow = Run(32, np.full(100, 0.1)), Run(32, np.full(100, 1.0))
    # a tenth is let pass, as is what was not seen
    for alone in (run(conditions(0.1)), run(conditions(None)), run()):
        assert of_rows([fast], [alone], 0.05).answer.answer == "shown"
    disturbed = run(conditions(0.34))
    for others in (fast, slow):
        found = of_rows([disturbed], [others], 0.05)
        assert found.answer.answer == "undecided"
        assert found.ratio is not None
        assert found.answer.why.startswith(
            "in a run, other programs took 34 % of its cores' time: measure it again undisturbed; "
        )
    # one of several is enough, and of several machines one
    hot = run(conditions(0.0, host="a"), conditions(0.0, host="b", throttled=0.25))
    found = of_rows([fast, fast], [fast, hot], 0.05)
    assert found.answer.answer == "undecided"
    assert found.answer.why.startswith(
        "in a run of the other row, its cores were throttled by heat for 25 % of the time on b: "
    )
