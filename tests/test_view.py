"""What goes wrong in the view ends the view alone; how it looks is tested in tests/workflow."""

import io
import logging
import time
from types import SimpleNamespace
from typing import Any

import pytest

from workflow_scripts import _view


def test_a_fault_is_said_once(monkeypatch: pytest.MonkeyPatch, config: dict[str, Any]) -> None:
    """For example that a later Snakemake has its jobs elsewhere."""
    monkeypatch.setattr("sys.stderr", io.StringIO())
    monkeypatch.setattr(_view, "_LINE_SECONDS", 0.01)
    said: list[str] = []
    later = SimpleNamespace(resource_settings=SimpleNamespace(cores=2))
    _view.start(later, config, "results", said.append)
    deadline = time.monotonic() + 60
    while not said and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    (line,) = said
    assert line.startswith("the view of the workflow has ended: AttributeError: ")
    assert "\n" not in line


@pytest.mark.parametrize(
    ("quiet", "shown"),
    [(set(), ["started"]), ({"all"}, ["failed"]), ({"rules", "progress"}, ["failed"])],
)
def test_errors_are_let_through(quiet: set[str], shown: list[str]) -> None:
    stream = io.StringIO()
    log = logging.Logger("snakemake's", logging.INFO)
    handler = logging.StreamHandler(stream)
    handler.addFilter(lambda record: not quiet and record.levelno < logging.ERROR)
    log.addHandler(handler)
    _view.let_errors_through(quiet, log)
    log.info("started")
    log.error("failed")
    assert stream.getvalue().split() == shown
