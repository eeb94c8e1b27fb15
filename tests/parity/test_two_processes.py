"""Steps that several processes take together, and what goes wrong between them."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from semask.parity.verdict import answer

from ..training.conftest import CONFIG
from ..warm import warm_scripts
from .steps_process import FAULTS

CLEAN = "none", "other chance", "one overflows"


def looked_at(folder: Path, processes: int, faults: Sequence[str]) -> dict[str, Any]:
    """What the first of some processes found of their steps, by fault."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    of_all = json.dumps(CONFIG), json.dumps(faults)
    started = [
        warm_scripts().start(
            "steps_process",
            [str(folder), str(rank), str(processes), *of_all],
            folder,
            environment={**os.environ, "PYTHONPATH": path},
        )
        for rank in range(processes)
    ]
    for process in started:
        printed, _ = process.communicate(timeout=1000)
        assert process.returncode == 0, printed
    made: dict[str, Any] = json.loads((folder / "found.json").read_text("utf-8"))
    return made


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return looked_at(tmp_path_factory.mktemp("two processes"), 2, [*FAULTS])


@pytest.mark.parametrize("clean", CLEAN)
def test_clean_ones_pass(found: dict[str, Any], clean: str) -> None:
    assert found[clean]["status"] == "passed"


@pytest.mark.slow
def test_three_clean_ones_pass(tmp_path: Path) -> None:
    """Of four images, so that one process has two of them and counts twice."""
    found = looked_at(tmp_path, 3, CLEAN)
    assert {look["status"] for look in found.values()} == {"passed"}


@pytest.mark.parametrize(
    ("fault", "quantity"),
    [("not averaged", "gradients"), ("norms alone", "buffers")],
)
def test_the_quantity_shows_it(found: dict[str, Any], fault: str, quantity: str) -> None:
    assert found[fault]["status"] == "failed"
    assert found[fault]["medians"][quantity] > 10
    if fault == "not averaged":
        assert answer(found[fault]).why.startswith("gradients by a median ratio of ")
