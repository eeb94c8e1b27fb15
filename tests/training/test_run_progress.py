"""Logs as a view meets them: cut anywhere, damaged, long, shorter than a moment ago."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semask.config.recipe import resolve
from semask.training.run_progress import Plan, read_plan, read_progress
from semask.training.workdir import open_workdir
from semask.workflow.view import planned

Writer = Callable[[bytes], Path]
NAMES = st.sampled_from(["iteration", "evaluation", "loss", "seconds", "data_seconds"])
VALUES = st.sampled_from(
    [None, True, -1, 7, 2.5, 10**400, float("nan"), "x", [], {}, {"miou": "y"}]
)
one_folder = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50
)


def as_bytes(line: object) -> bytes:
    return json.dumps(line).encode()


def lines_of(iterations: int, every: int) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for n in range(1, iterations + 1):
        lines.append({"iteration": n, "loss": 1 / n, "seconds": 0.5, "data_seconds": 0.1})
        if n % every == 0:
            lines.append({"iteration": n, "evaluation": {"miou": n / 10}, "seconds": n + 1.0})
    return lines


def as_log(lines: list[dict[str, Any]]) -> bytes:
    return b"".join(as_bytes(line) + b"\n" for line in lines)


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """Writes a log; gives back its folder."""

    def written(content: bytes) -> Path:
        (tmp_path / "log.jsonl").write_bytes(content)
        return tmp_path

    return written


@one_folder
@given(st.integers(0, 900), st.integers(1, 600), st.integers(0, 200))
def test_a_log_cut_anywhere(write: Writer, iterations: int, every: int, cut: int) -> None:
    """Longer than what is read of it, and with the last evaluation far from its end."""
    log = as_log(lines_of(iterations, every))
    log = log[: max(0, len(log) - cut)]
    whole = [json.loads(line) for line in log.split(b"\n")[:-1]]
    progress = read_progress(write(log))
    if not whole:
        assert progress is None
        return
    assert progress is not None
    assert progress.iteration == whole[-1]["iteration"]
    evaluations = [line for line in whole if "evaluation" in line]
    if evaluations:
        assert progress.evaluated == evaluations[-1]["iteration"]
        assert progress.miou == evaluations[-1]["evaluation"]["miou"]
        assert progress.evaluation_seconds == evaluations[-1]["seconds"]
    else:
        assert (progress.evaluated, progress.miou, progress.evaluation_seconds) == (0, None, None)
    assert progress.seconds == pytest.approx(0.5)


@one_folder
@given(st.lists(st.binary(max_size=9) | st.dictionaries(NAMES, VALUES).map(as_bytes), max_size=9))
def test_whatever_is_in_a_log(write: Writer, lines: list[bytes]) -> None:
    progress = read_progress(write(b"\n".join([*lines, b""])))
    if progress is not None:
        assert progress.seconds is None or progress.seconds >= 0


def test_numbers_that_are_too_large_and_lists_that_are_too_deep(write: Writer) -> None:
    line = {"iteration": 1, "loss": 10**400, "seconds": 10**400, "data_seconds": 0.1}
    folder = write(b"[" * 10**4 + b"\n" + as_log([line]))
    progress = read_progress(folder)
    assert progress is not None
    assert (progress.iteration, progress.loss, progress.seconds) == (1, None, None)
    assert progress.waiting == 0.1
    endless = {"iterations": float("inf"), "evaluate_every": None, "global_batch": 1}
    for content in (b"[" * 10**5, as_bytes({"recipe": {"training": endless}})):
        (folder / "run.json").write_bytes(content)
        assert read_plan(folder) is None


def test_the_last_evaluation_is_remembered(write: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(300, 300)
    first = read_progress(write(as_log(lines)))
    assert first is not None
    monkeypatch.setattr("semask.training.run_progress._FURTHER", 0)  # it is not looked for again
    step = {"loss": 0.1, "seconds": 0.5, "data_seconds": 0.1}
    lines += [{"iteration": n, **step} for n in range(301, 900)]
    second = read_progress(write(as_log(lines)), first)
    assert second is not None
    assert (second.iteration, second.evaluated, second.miou) == (899, 300, 30.0)


def test_a_log_that_has_shrunk(write: Writer) -> None:
    """A run that goes on drops what came after its checkpoint, or it is another run."""
    before = read_progress(write(as_log(lines_of(500, 250))))
    after = read_progress(write(as_log(lines_of(240, 250))), before)
    assert after is not None
    assert (after.iteration, after.evaluated, after.miou) == (240, 0, None)


def test_a_slow_first_iteration_counts_little(write: Writer) -> None:
    lines = lines_of(10, 20)
    lines[0]["seconds"] = 60.0
    progress = read_progress(write(as_log(lines)))
    assert progress is not None
    assert progress.seconds == 0.5


def test_no_log(tmp_path: Path) -> None:
    assert read_progress(tmp_path) is None
    assert read_plan(tmp_path) is None
    (tmp_path / "run.json").write_text('{"recipe": 7', encoding="utf-8")
    assert read_plan(tmp_path) is None


@pytest.mark.parametrize("mode", ["full", "performance"])
def test_what_the_config_says_is_what_the_run_does(
    config: dict[str, Any], tmp_path: Path, mode: str
) -> None:
    config["training"]["batch"]["per"] = "device"
    named = {**config, "dataset": config["dataset"]["name"]}
    recipe = resolve(named, mode=mode, processes=2, training_images=100)
    open_workdir(tmp_path, {"recipe": recipe.as_dict()}).release()
    plan = read_plan(tmp_path)
    assert plan == planned(config, mode, 2)
    every = recipe.training.evaluate_every
    assert plan == Plan(recipe.training.iterations, every, recipe.training.global_batch)
