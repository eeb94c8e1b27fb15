"""Steps that two processes take together, and what goes wrong between them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from semask.parity.verdict import answer

from ..training.conftest import CONFIG
from ..warm import warm_scripts


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("two processes")
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    started = [
        warm_scripts().start(
            "steps_process",
            [str(folder), str(rank), json.dumps(CONFIG)],
            folder,
            environment={**os.environ, "PYTHONPATH": path},
        )
        for rank in range(2)
    ]
    for process in started:
        printed, _ = process.communicate(timeout=200)
        assert process.returncode == 0, printed
    made: dict[str, Any] = json.loads((folder / "found.json").read_text("utf-8"))
    return made


@pytest.mark.parametrize("clean", ["none", "other chance"])
def test_clean_ones_pass(found: dict[str, Any], clean: str) -> None:
    assert found[clean]["status"] == "passed"


@pytest.mark.parametrize(
    ("fault", "quantity"),
    [("not averaged", "gradients"), ("norms alone", "buffers")],
)
def test_the_quantity_shows_it(found: dict[str, Any], fault: str, quantity: str) -> None:
    assert found[fault]["status"] == "failed"
    assert found[fault]["medians"][quantity] > 10
    if fault == "not averaged":
        assert answer(found[fault]).why.startswith("gradients by a median ratio of ")
