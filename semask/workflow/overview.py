"""How far a workflow is and how long it will take, told from the logs of its training runs.

A run's time left is what its iterations and evaluations still to come take at the speed of the last
ones; a run that waits takes as long as its row's speed in other runs says. All of it is made of
durations, so an interruption, a restart or a clock that is set changes nothing.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from semask.comparison.bundle import MANIFEST
from semask.training.run_progress import Plan, Progress, read_plan, read_progress
from semask.training.workdir import IDENTITY, LOG, RECORD, is_running

# as many iterations as go by between two writes to the log, see `semask.training.loop`
_LOOK_EVERY = 10
# seconds without a line in the log after which that is said
_LONG = 60


class Job(NamedTuple):
    """A job of the workflow."""

    name: str  # for example `train CPU-1P seed 0`
    kind: str  # jobs of the same kind take about equally long
    row: str | None  # training runs of the same row have the same speed; None for all other jobs
    state: str  # done, running, waiting, failed, or stopped: begun, and nobody works on it
    threads: int = 1  # that it keeps busy
    elapsed: float | None = None  # seconds that it has run, or took; None where nobody knows
    plan: Plan | None = None  # of a training run
    progress: Progress | None = None  # of one that has a log; a waiting one goes on from there


class Left(NamedTuple):
    """Time left in seconds; `whole` is false where something is left that nobody has timed yet."""

    seconds: float
    whole: bool

    def __str__(self) -> str:
        if not self.whole and self.seconds < 1:
            return "time left unknown"
        return f"{'' if self.whole else 'at least '}{duration(self.seconds)} left"


class _Speed(NamedTuple):
    """Seconds of an iteration and of an evaluation; None where unknown."""

    iteration: float | None
    evaluation: float | None


def overview(
    jobs: Sequence[Job],
    *,
    cores: int | None,
    now: float,
    others: Sequence[Job] = (),
    what: str = "jobs",
) -> list[str]:
    """Lines that say how far a workflow is: one for the whole, one for each job at work.

    Its jobs share the cores, None where a cluster has them; now is by the clock of the logs'
    `written`; `others` are runs from before, whose speed tells that of the same row; `what` the
    jobs are called.
    """
    timed = [*others, *jobs]
    speeds = {job.row: _speed(job.row, timed) for job in jobs if job.row is not None}
    plans = {job.kind: job.plan for job in timed if job.plan is not None}
    took = defaultdict[str, list[float]](list)
    for job in timed:
        if job.state == "done" and job.elapsed is not None:
            took[job.kind].append(job.elapsed)
    left = {
        job.name: _of_other(job, took[job.kind])
        if job.row is None
        else _of_training(job, job.plan or plans.get(job.kind), speeds[job.row], now)
        for job in jobs
        if job.state in ("running", "waiting")
    }
    states = Counter(job.state for job in jobs)
    parts = [f"{states['done']} of {len(jobs)} {what} done", f"{states['running']} running"]
    parts += [f"{states[state]} {state}" for state in ("failed", "stopped") if states[state]]
    if left:
        parts.append(
            str(_whole([(left[x.name], x.threads) for x in jobs if x.name in left], cores))
        )
    shown = [job for job in jobs if job.state in ("running", "stopped")]
    return [", ".join(parts), *(f"{x.name}: {_line(x, left.get(x.name), now)}" for x in shown)]


def _speed(row: str, jobs: Sequence[Job]) -> _Speed:
    """Speed of a row, from the runs that have logs; the last one that tells is taken."""
    speed = _Speed(None, None)
    for job in jobs:
        if job.row == row and job.progress is not None:
            speed = _Speed(
                job.progress.seconds or speed.iteration,
                job.progress.evaluation_seconds or speed.evaluation,
            )
    return speed


def _of_other(job: Job, took: Sequence[float]) -> Left:
    """Time left of a job that does not train, from how long others of its kind took."""
    if not took:
        return Left(0, False)
    elapsed = job.elapsed or 0 if job.state == "running" else 0
    return Left(max(0, sum(took) / len(took) - elapsed), True)


def _of_training(job: Job, plan: Plan | None, speed: _Speed, now: float) -> Left:
    progress = job.progress
    each = (progress and progress.seconds) or speed.iteration
    if plan is None or each is None:
        return Left(0, False)
    done, evaluated = (progress.iteration, progress.evaluated) if progress else (0, 0)
    steps = max(0, plan.iterations - done) * each
    number = max(0, plan.evaluations(plan.iterations) - plan.evaluations(evaluated))
    evaluation = (progress and progress.evaluation_seconds) or speed.evaluation
    evaluations = number * (evaluation or 0)
    # the log says nothing of what has been done since it was written to
    since = max(0.0, now - progress.written) if progress and job.state == "running" else 0
    if progress and _is_evaluating(plan, progress):
        evaluations -= min(since, evaluation or 0)
    else:
        steps -= min(since, _LOOK_EVERY * each, steps)
    return Left(steps + evaluations, evaluation is not None or number == 0)


def _is_evaluating(plan: Plan, progress: Progress) -> bool:
    return plan.evaluations(progress.iteration) > plan.evaluations(progress.evaluated)


def _whole(left: Sequence[tuple[Left, int]], cores: int | None) -> Left:
    """Time left of all: no less than the longest job, and no less than the cores need."""
    seconds = max(job.seconds for job, _ in left)
    if cores is not None:
        work = sum(job.seconds * min(threads, cores) for job, threads in left)
        seconds = max(seconds, work / cores)
    return Left(seconds, all(job.whole for job, _ in left))


def _line(job: Job, left: Left | None, now: float) -> str:
    # what matters most first: a narrow terminal cuts the rest
    parts = [str(left)] if left is not None and (left.whole or left.seconds >= 1) else []
    if job.row is None:
        if job.elapsed is not None:
            parts.insert(0, f"for {duration(job.elapsed)}")
        return ", ".join(parts) or "running"
    if job.progress is None:
        return ", ".join(["stopped" if job.state == "stopped" else "no iteration yet", *parts])
    progress, plan = job.progress, job.plan
    since = max(0.0, now - progress.written)
    if job.state == "stopped":
        parts = [f"stopped {duration(since)} ago"]
    elif plan and _is_evaluating(plan, progress):
        parts.append(f"evaluating for {duration(since)}")
    elif plan and progress.iteration >= plan.iterations:
        parts = ["finishing"]
    elif since > max(_LONG, 2 * _LOOK_EVERY * (progress.seconds or 0)):
        parts.append(f"nothing new for {duration(since)}")
    position = f"{progress.iteration}/{plan.iterations}" if plan else str(progress.iteration)
    return ", ".join([position, *parts, *_figures(progress, plan)])


def _figures(progress: Progress, plan: Plan | None) -> list[str]:
    figures = []
    if progress.loss is not None:
        figures.append(f"loss {progress.loss:.3f}")
    if progress.miou is not None:
        figures.append(f"mIoU {progress.miou:.2f} %")
    if plan and progress.seconds:
        rate = plan.global_batch / progress.seconds
        figures.append(f"{rate:.1f} images/s" if rate >= 1 else f"{rate:.2g} images/s")
        if progress.waiting is not None:
            share = progress.waiting / progress.seconds
            figures.append(f"{100 * share:.0f} % waiting for data")
    return figures


def duration(seconds: float) -> str:
    """A duration as one would say it, for example `3 h 05 min`."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes // (24 * 60)} d {minutes // 60 % 24} h"


def runs_below(folders: Iterable[Path]) -> list[Job]:
    """The runs whose files are in some folders, wherever they are trained."""
    found: dict[Path, Job] = {}
    for folder in folders:
        # no glob, which ends with an error where a run does, and its folders with it, meanwhile
        runs = sorted(Path(each) for each, *_ in os.walk(folder))
        for run in runs:
            work = run / "work"
            state = "running" if is_running(work) else "stopped"
            state = "done" if (work / RECORD).is_file() else state
            if (work / IDENTITY).is_file():  # still, else it is among those below
                found[run] = _run(run, work, state)._replace(plan=read_plan(work))
        for run in runs:
            if run.name == "work" or run in found:
                continue
            if not all((run / file).is_file() for file in (RECORD, LOG)):
                continue
            if not any((parent / MANIFEST).is_file() for parent in run.parents):
                found[run] = _run(run, run, "done")  # and not another machine's, from a bundle
    return list(found.values())


def _run(run: Path, folder: Path, state: str) -> Job:
    """A run in <row>/<mode>/<seed>, with what the log in a folder says of it."""
    progress = read_progress(folder)
    row = (run if len(run.parents) > 1 else run.absolute()).parents[1]
    return Job(str(run), str(run.parent), str(row), state, progress=progress)
