"""What two processes draw: other masks than each other, or those that shared chance defines."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from semask.parity.verdict import NOT_RUN, REFUTED, SHOWN, answer

from ..training.conftest import CONFIG
from ..warm import warm_scripts


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("chance of two")
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    started = [
        warm_scripts().start(
            "chance_process",
            [str(folder), str(rank), json.dumps(CONFIG)],
            folder,
            environment={**os.environ, "PYTHONPATH": path},
        )
        for rank in range(2)
    ]
    for process in started:
        printed, _ = process.communicate(timeout=1000)
        assert process.returncode == 0, printed
    made: dict[str, Any] = json.loads((folder / "found.json").read_text("utf-8"))
    return {**made, "ended": (folder / "ended.txt").read_text("utf-8")}


@pytest.mark.parametrize("clean", ["none", "shared, none"])
def test_clean_ones_pass(found: dict[str, Any], clean: str) -> None:
    assert answer(found[clean]).answer == SHOWN, found[clean]["faults"]
    assert {site["drawn"] % 2 for site in found[clean]["sites"]} == {0}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("one seed", "draws the same masks in processes 1 and 2"),
        ("shared, counted in each", "draws the same masks in processes 1 and 2"),
        ("shared, a seed of each", "draws other masks in process 2 than shared chance defines"),
    ],
)
def test_the_fault_is_named(found: dict[str, Any], fault: str, said: str) -> None:
    given = answer(found[fault])
    assert given.answer == REFUTED
    assert said in given.why
    sites = [site for site in found[fault]["sites"] if site["function"].startswith("dropout")]
    assert all(said in site["fault"] for site in sites)


def test_none_waits_for_a_process_that_failed(found: dict[str, Any]) -> None:
    given = answer(found["one fails"])
    assert given.answer == NOT_RUN
    assert given.why == "RuntimeError: process 2: RuntimeError: out of memory"


def test_where_all_fail_in_steps_the_next_look_is_run(found: dict[str, Any]) -> None:
    looks = found["all fail in steps"]
    assert answer(looks["semantics: steps"]) == (NOT_RUN, "RuntimeError: out of memory")
    assert answer(looks["chance"]).answer == SHOWN


def test_one_that_fails_alone_in_steps_ends_the_job(found: dict[str, Any]) -> None:
    assert found["ended"].startswith(
        "precision: steps: process 2 of 2 failed, and the others wait for it: RuntimeError: out of "
    )
    assert answer(found["one fails in steps"]["precision: steps"]).answer == NOT_RUN
