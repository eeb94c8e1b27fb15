"""What goes wrong in the view ends the view alone; how it looks is tested in tests/workflow."""

import io
import time
from types import SimpleNamespace
from typing import Any

import pytest

from semask.workflow import view


def test_a_fault_is_said_once(monkeypatch: pytest.MonkeyPatch, config: dict[str, Any]) -> None:
    """For example that a later Snakemake has its jobs elsewhere."""
    monkeypatch.setattr("sys.stderr", io.StringIO())
    monkeypatch.setattr(view, "_LINE_SECONDS", 0.01)
    said: list[str] = []
    later = SimpleNamespace(resource_settings=SimpleNamespace(cores=2))
    view.start(later, config, "results", said.append)
    deadline = time.monotonic() + 60
    while not said and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    (line,) = said
    assert line.startswith("the view of the workflow has ended: AttributeError: ")
    assert "\n" not in line


class Planned:
    """A job as Snakemake has it."""

    def __init__(self, rule: str, **wildcards: str):
        self.rule, self.wildcards_dict = SimpleNamespace(name=rule), wildcards

    def is_group(self) -> bool:
        return False


def test_a_look_at_a_row_is_of_no_run(config: dict[str, Any]) -> None:
    config["rows"] = [{**config["rows"][0], "processes": 2, "planted_fault": "none"}]
    jobs = [
        Planned("parity", device="cpu", processes="2", planted="-none"),
        Planned("parity", device="cpu", processes="1"),
    ]
    dag = SimpleNamespace(needrun_jobs=lambda exclude_finished: jobs, finished=lambda job: False)
    scheduler = SimpleNamespace(running=[], failed=[])
    resources = SimpleNamespace(cores=2)
    workflow = SimpleNamespace(dag=dag, scheduler=scheduler, resource_settings=resources)
    names = [job.name for job in view._looker(workflow, config, "results")()]
    assert names == ["parity CPU-1P", "parity CPU-2P (planted: none)"]


def test_a_checkpoint_is_done_when_the_plan_is_made_anew(config: dict[str, Any]) -> None:
    """Snakemake's new plan lacks it, and has jobs that the old one did not know."""
    making, never, elm = (
        Planned("dataset"), Planned("labels", part="never"), Planned("labels", part="elm"),
    )  # fmt: skip
    plan = [making, never]
    dag = SimpleNamespace(needrun_jobs=lambda exclude_finished: plan, finished=lambda job: False)
    scheduler = SimpleNamespace(running=[making], failed=[])
    resources = SimpleNamespace(cores=2)
    workflow = SimpleNamespace(dag=dag, scheduler=scheduler, resource_settings=resources)
    look = view._looker(workflow, config, "results")
    states = {job.name: job.state for job in look()}
    assert states == {"dataset": "running", "labels never": "waiting"}
    plan[:], scheduler.running[:] = [elm], []
    states = {job.name: job.state for job in look()}
    assert states == {"dataset": "done", "labels elm": "waiting"}
