"""Steps that two processes take together, and what goes wrong between them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..conftest import REPOSITORY
from ..training.conftest import CONFIG


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("two processes")
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    script = Path(__file__).with_name("steps_process.py")
    started = [
        subprocess.Popen(
            [sys.executable, str(script), str(folder), str(rank), json.dumps(CONFIG)],
            env={**os.environ, "PYTHONPATH": path},
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        for rank in range(2)
    ]
    for process in started:
        _, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
    made: dict[str, Any] = json.loads((folder / "found.json").read_text("utf-8"))
    return made


def test_clean_ones_pass(found: dict[str, Any]) -> None:
    assert found["none"]["status"] == "passed"


@pytest.mark.parametrize(
    ("fault", "quantity"),
    [("not averaged", "gradients"), ("norms alone", "buffers")],
)
def test_the_quantity_shows_it(found: dict[str, Any], fault: str, quantity: str) -> None:
    assert found[fault]["status"] == "failed"
    assert found[fault]["medians"][quantity] > 10
