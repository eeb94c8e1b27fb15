"""The overall view of a workflow while Snakemake runs it.

A thread of the main Snakemake reads which jobs run and how far their logs are. On a terminal it
keeps lines at the bottom up to date; elsewhere it adds a line to the log now and then. Whatever
goes wrong in it ends the view and nothing else.
"""

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from semask.base.errors import InputError
from semask.base.row_names import folder_of, row_folder, row_name
from semask.config.recipe import global_batch_of
from semask.training.run_progress import Plan, read_plan, read_progress
from semask.training.workdir import LOG
from semask.workflow import bottom_lines
from semask.workflow.overview import Job, overview

_REDRAW_SECONDS = 1.0
# between two looks whether the terminal was resized, which undoes what keeps lines in place
_RESIZED_SECONDS = 0.1
_LINE_SECONDS = 60.0
# a terminal smaller than this has no room for the view
_LEAST_LINES, _LEAST_COLUMNS = 6, 30

# mode of the rules that train
_TRAINING = {"train": "full", "measure": "performance"}

Look = Callable[[], list[Job]]
"""Gives the jobs as they are now."""


def start(
    workflow: Any, config: Mapping[str, Any], results: str, say: Callable[[str], None]
) -> None:
    """Start the view of a workflow that is about to run its jobs; it ends with this process.

    The folder of results has the rows; `say` adds a line to Snakemake's log.
    """
    end = threading.Event()

    def run() -> None:
        try:
            look = _looker(workflow, config, results)
            fits = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
            show = _keep_drawing if fits else _keep_saying
            show(look, workflow.resource_settings.cores, _earlier(config, results), say, end)
        except Exception as fault:
            with suppress(Exception):
                say(f"the view of the workflow has ended: {type(fault).__name__}: {fault}")

    thread = threading.Thread(target=run, name="view", daemon=True)

    def stop() -> None:
        end.set()
        thread.join(timeout=5)

    atexit.register(stop)
    thread.start()


def _keep_drawing(
    look: Look, cores: int | None, earlier: list[Job], say: object, end: threading.Event
) -> None:
    """Keep the view at the bottom of the terminal."""
    terminal = sys.stderr.fileno()
    reserved: bottom_lines.Reserved | None = None
    drawn = -_REDRAW_SECONDS
    try:
        while not end.wait(_RESIZED_SECONDS):
            size = os.get_terminal_size(terminal)
            resized = reserved is not None and reserved.size != size
            if time.monotonic() - drawn < _REDRAW_SECONDS and not resized:
                continue
            drawn = time.monotonic()
            small = size.lines < _LEAST_LINES or size.columns < _LEAST_COLUMNS
            if small or not _is_in_front(terminal):
                if reserved is not None:
                    os.write(terminal, bottom_lines.release().encode())
                    reserved = None
                continue
            lines = overview(look(), cores=cores, now=time.time(), others=earlier)
            most = size.lines // 2
            if len(lines) > most:
                lines[most - 1 :] = [f"and {len(lines) - most + 1} more"]
            drawing = bottom_lines.draw(lines, size, reserved)
            os.write(terminal, drawing.encode(sys.stderr.encoding, "replace"))
            reserved = bottom_lines.Reserved(len(lines), size)
    finally:
        if reserved is not None:
            os.write(terminal, bottom_lines.release().encode())


def _is_in_front(terminal: int) -> bool:
    """Whether the terminal is this process's to write to: not while it runs behind a shell's."""
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:  # another session's terminal
        return True


def _keep_saying(
    look: Look,
    cores: int | None,
    earlier: list[Job],
    say: Callable[[str], None],
    end: threading.Event,
) -> None:
    """Say now and then how far the workflow is, if anything has moved."""
    said: object = None
    at = time.monotonic()
    # looks are as frequent as on a terminal: how long jobs take is seen there
    while not end.wait(min(_REDRAW_SECONDS, _LINE_SECONDS)):
        jobs = look()
        if time.monotonic() - at < _LINE_SECONDS:
            continue
        moved = [(job.name, job.state, job.progress and job.progress.iteration) for job in jobs]
        if moved != said:
            say("; ".join(overview(jobs, cores=cores, now=time.time(), others=earlier)))
            said, at = moved, time.monotonic()


def _looker(workflow: Any, config: Mapping[str, Any], results: str) -> Look:
    """What looks at Snakemake's jobs; it remembers when it first saw each of them run."""
    rows = {row_folder(row): row for row in config["rows"]}
    cores = workflow.resource_settings.cores
    known: dict[str, Job] = {}
    begun: dict[str, float] = {}

    def look() -> list[Job]:
        dag, scheduler = workflow.dag, workflow.scheduler
        running = {
            job
            for one in _snapshot(lambda: scheduler.running)
            for job in (one if one.is_group() else (one,))
        }
        failed = set(_snapshot(lambda: scheduler.failed))
        seen: set[str] = set()
        for job in _snapshot(lambda: dag.needrun_jobs(exclude_finished=False)):
            if job.rule.name == "all":  # has nothing to do
                continue
            made = _described(job, rows, cores)
            seen.add(made.name)
            before = known.get(made.name)
            if before is not None and before.state == "done":
                continue
            state = "running" if job in running else "failed" if job in failed else "waiting"
            made = made._replace(state="done" if dag.finished(job) else state)
            if made.state == "running":
                begun.setdefault(made.name, time.monotonic())
            elif made.state == "waiting":  # or to be tried again
                begun.pop(made.name, None)
            if made.state == "done" and before is not None:
                begun.setdefault(made.name, time.monotonic())  # ended between two looks
            if made.name in begun:
                made = made._replace(elapsed=time.monotonic() - begun[made.name])
            if made.row is not None:
                made = _with_files(made, before, job, results, config)
            known[made.name] = made
        # after a checkpoint Snakemake plans anew, without what is done
        for name in known.keys() - seen:
            if known[name].state == "running":
                known[name] = known[name]._replace(state="done")
            elif known[name].state == "waiting":
                del known[name]
        return [known[name] for name in sorted(known)]

    return look


def _snapshot(read: Callable[[], Iterable[Any]]) -> list[Any]:
    """What Snakemake has in a set, which it may change meanwhile."""
    for _ in range(9):
        with suppress(RuntimeError):
            return list(read())
    return list(read())


def _described(job: Any, rows: Mapping[str, Any], cores: int | None) -> Job:
    """What a job of Snakemake is called here, and how many threads it keeps busy.

    Its own number of threads is a function of the config, which may not be called from here.
    """
    rule, wildcards = job.rule.name, job.wildcards_dict
    if "processes" not in wildcards:
        return Job(" ".join([rule, *map(str, wildcards.values())]), rule, None, "waiting")
    row = folder_of(wildcards["device"], wildcards["processes"], wildcards.get("planted", ""))
    kind = f"{rule} {row_name(rows[row]) if row in rows else row.upper()}"
    threads = rows[row]["processes"] * rows[row]["threads"] if row in rows else 1
    return Job(
        # a look at a row's device is of no run
        name=f"{kind} seed {wildcards['seed']}" if "seed" in wildcards else kind,
        kind=kind,
        row=row if rule in _TRAINING else None,
        state="waiting",
        threads=cores or threads if rule == "measure" else threads,
    )


def _with_files(
    made: Job, before: Job | None, job: Any, results: str, config: Mapping[str, Any]
) -> Job:
    """A training run's job with what its files say; `job` is Snakemake's own."""
    if made.state == "waiting" and before is not None:
        return made._replace(plan=before.plan, progress=before.progress)
    mode, wildcards = _TRAINING[job.rule.name], job.wildcards_dict
    work = Path(results, str(made.row), mode, f"seed{wildcards['seed']}", "work")
    # in this order: the plan is written first
    progress = read_progress(work, before.progress if before else None)
    plan = read_plan(work) or (before.plan if before else None)
    if made.state == "waiting":
        plan = plan or planned(config, mode, int(wildcards["processes"]))
        if mode != "full":  # only a full run goes on from where it was interrupted
            progress = None
    elif made.state != "running" and before is not None:
        progress = progress or before.progress
    return made._replace(plan=plan, progress=progress)


def planned(config: Mapping[str, Any], mode: str, processes: int) -> Plan | None:
    """What the config says of a run that has not begun; None where it counts in epochs."""
    training = config["training"]
    try:
        batch = global_batch_of(training["batch"], processes)
    except InputError:
        return None
    if mode == "performance":
        return Plan(config["performance"]["iterations"], None, batch)
    if training["epochs"] is not None:
        return None
    return Plan(training["iterations"], training["evaluate_every"], batch)


def _earlier(config: Mapping[str, Any], results: str) -> list[Job]:
    """Runs that are complete, for their speed."""
    found = []
    for row in config["rows"]:
        name = row_folder(row)
        for log in sorted(Path(results, name).glob(f"*/seed*/{LOG}")):
            made = Job(str(log.parent), str(log.parent), name, "done")
            found.append(made._replace(progress=read_progress(log.parent)))
    return found
