"""What the view says of jobs; how their files are read is in test_run_progress."""

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semask.training.run_progress import Plan, Progress
from semask.workflow.overview import Job, duration, overview, runs_below

NOW = 1_000_000.0
PLAN = Plan(iterations=400, evaluate_every=100, global_batch=8)
HALF_WAY = Progress(
    iteration=200, loss=0.5, seconds=2.0, waiting=0.1, evaluated=200, miou=41.5,
    evaluation_seconds=30.0, written=NOW,
)  # fmt: skip
SECONDS = st.floats(0.01, 100)


def training(
    state: str, seed: int = 0, plan: Plan | None = PLAN, progress: Progress | None = None
) -> Job:
    name = f"train CPU-1P seed {seed}"
    return Job(name, "train CPU-1P", "cpu-1p", state, plan=plan, progress=progress)


def other(state: str, name: str, kind: str = "labels", threads: int = 1, took: float = 10) -> Job:
    return Job(name, kind, None, state, threads, None if state == "waiting" else took)


def left_in(line: str) -> float:
    """Seconds that a line says are left."""
    units = {"s": 1, "min": 60, "h": 3600, "d": 86400}
    said = re.search(r"((?:\d+ (?:s|min|h|d) ?)+)left", line)
    assert said, line
    return sum(int(n) * units[unit] for n, unit in re.findall(r"(\d+) (s|min|h|d)\b", said[1]))


def test_a_run_half_way() -> None:
    whole, run = overview([training("running", progress=HALF_WAY)], cores=4, now=NOW)
    # 200 iterations of 2 s, two evaluations of 30 s
    assert whole == "0 of 1 jobs done, 1 running, 8 min left"
    assert run == (
        "train CPU-1P seed 0: 200/400, 8 min left, loss 0.500, mIoU 41.50 %, 4.0 images/s, "
        "5 % waiting for data"
    )


@given(
    st.integers(1, 300), st.none() | st.integers(1, 120), st.data(), SECONDS, SECONDS,
)  # fmt: skip
def test_time_left_is_that_of_an_even_run(
    iterations: int, every: int | None, data: st.DataObject, each: float, evaluation: float
) -> None:
    plan = Plan(iterations, every, 8)
    done = data.draw(st.integers(0, iterations))
    due = {n for n in range(1, iterations + 1) if every and (n % every == 0 or n == iterations)}
    evaluated = max((n for n in due if n <= done), default=0)
    remaining = (iterations - done) * each + sum(n > done for n in due) * evaluation
    progress = HALF_WAY._replace(
        iteration=done, seconds=each, evaluated=evaluated, evaluation_seconds=evaluation
    )
    whole, line = overview([training("running", plan=plan, progress=progress)], cores=1, now=NOW)
    assert "at least" not in whole
    assert left_in(whole) == pytest.approx(remaining, rel=0.05, abs=31)
    if done == iterations:
        assert "finishing" in line


@given(st.floats(-1e6, 1e6), st.integers(0, 400))
def test_clocks_that_differ_change_little(since: float, iteration: int) -> None:
    """The file system's clock may be another one, or be set while a run goes on."""
    run = training("running", progress=HALF_WAY._replace(iteration=iteration))
    on_time, late = (overview([run], cores=1, now=now)[0] for now in (NOW, NOW + since))
    assert left_in(on_time) - 121 <= left_in(late) <= left_in(on_time)


def test_an_evaluation_goes_on() -> None:
    run = training("running", progress=HALF_WAY._replace(iteration=300))
    whole, line = overview([run], cores=1, now=NOW + 20)
    assert "evaluating for 20 s" in line
    assert left_in(whole) == 240  # 100 iterations, 10 s of this evaluation and 30 s of another


def test_a_run_that_says_nothing_any_more() -> None:
    run = training("running", progress=HALF_WAY)
    assert "nothing new" not in overview([run], cores=1, now=NOW + 30)[1]
    assert "nothing new for 10 min" in overview([run], cores=1, now=NOW + 600)[1]


def test_a_waiting_run_takes_as_long_as_its_row() -> None:
    jobs = [training("running", progress=HALF_WAY), training("waiting", seed=1)]
    # 460 s and 920 s, on one core and side by side
    assert overview(jobs, cores=1, now=NOW)[0].endswith("1 running, 23 min left")
    assert overview(jobs, cores=2, now=NOW)[0].endswith("1 running, 15 min left")
    earlier = [training("done", seed=2, plan=None, progress=HALF_WAY)]
    waiting = [training("waiting")]
    assert overview(waiting, cores=1, now=NOW, others=earlier)[0].endswith("15 min left")


def test_an_interrupted_run_goes_on_from_its_log() -> None:
    assert overview([training("waiting", progress=HALF_WAY)], cores=1, now=NOW + 1e5)[0].endswith(
        "0 running, 8 min left"
    )


def test_what_nobody_has_timed_is_said() -> None:
    no_evaluation = HALF_WAY._replace(iteration=50, evaluated=0, evaluation_seconds=None)
    whole, line = overview([training("running", progress=no_evaluation)], cores=1, now=NOW)
    assert "at least 12 min left" in whole
    assert "at least 12 min left" in line
    whole, line = overview([training("running")], cores=1, now=NOW)
    assert whole.endswith("time left unknown")
    assert line == "train CPU-1P seed 0: no iteration yet"
    jobs = [training("running", progress=HALF_WAY), other("waiting", "table", "table")]
    assert "at least 8 min left" in overview(jobs, cores=1, now=NOW)[0]


def test_other_jobs_take_as_long_as_those_of_their_kind() -> None:
    jobs = [
        other("done", "labels train alder", took=20),
        other("done", "labels train birch", took=40),
        other("running", "labels train cedar", took=5),
        other("waiting", "labels val elm"),
    ]
    whole, line = overview(jobs, cores=1, now=NOW)
    assert whole == "2 of 4 jobs done, 1 running, 55 s left"
    assert line == "labels train cedar: for 5 s, 25 s left"


@given(st.lists(st.tuples(st.integers(1, 16), st.floats(1, 1e5)), min_size=1), st.integers(1, 8))
def test_the_whole_takes_no_less_than_cores_and_longest_job(
    jobs: list[tuple[int, float]], cores: int
) -> None:
    made = []
    for number, (threads, took) in enumerate(jobs):
        kind = f"kind {number}"
        made += [other("done", f"done {number}", kind, took=took),
                 other("waiting", f"waiting {number}", kind, threads)]  # fmt: skip
    whole = left_in(overview(made, cores=cores, now=NOW)[0])
    longest = max(took for _, took in jobs)
    work = sum(min(threads, cores) * took for threads, took in jobs)
    assert whole == pytest.approx(max(longest, work / cores), rel=0.05, abs=31)
    # a cluster has cores for all
    anywhere = left_in(overview(made, cores=None, now=NOW)[0])
    assert anywhere == pytest.approx(longest, rel=0.05, abs=31)


def test_failed_jobs_are_counted() -> None:
    jobs = [other("failed", "labels val elm"), other("done", "labels val fir")]
    assert overview(jobs, cores=1, now=NOW) == ["1 of 2 jobs done, 0 running, 1 failed"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59, "59 s"), (90, "2 min"), (3599, "1 h 00 min"), (11_100, "3 h 05 min"),
     (3 * 86_400 + 7200, "3 d 2 h")],
)  # fmt: skip
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_runs_are_found_by_their_files(tmp_path: Path) -> None:
    line = {"iteration": 40, "loss": 1.0, "seconds": 0.5, "data_seconds": 0.1}
    recipe = {"training": {"iterations": 100, "evaluate_every": None, "global_batch": 4}}
    for number, state in enumerate(("running", "stopped", "done", "complete")):
        run = tmp_path / f"gpu-1p/performance/seed{number}"
        folder = run if state == "complete" else run / "work"
        if state == "stopped":  # on another disk
            run.mkdir(parents=True)
            (tmp_path / "disk").mkdir()
            folder.symlink_to(tmp_path / "disk")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "log.jsonl").write_text(f"{json.dumps(line)}\n", encoding="utf-8")
        os.utime(folder / "log.jsonl", (NOW, NOW))
        (folder / "run.json").write_text(json.dumps({"recipe": recipe}), encoding="utf-8")
        for name in {"running": ["running"], "stopped": []}.get(state, ["train.json"]):
            (folder / name).touch()
    whole, *runs = overview(runs_below([tmp_path]), cores=None, now=NOW, what="runs")
    assert whole == "2 of 4 runs done, 1 running, 1 stopped, 30 s left"
    folder = tmp_path / "gpu-1p/performance"
    figures = "loss 1.000, 8.0 images/s, 20 % waiting for data"
    assert runs == [
        f"{folder}/seed0: 40/100, 30 s left, {figures}",
        f"{folder}/seed1: 40/100, stopped 0 s ago, {figures}",
    ]
