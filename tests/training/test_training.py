"""Training through its command line: runs, records, resuming, seeds."""

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import safe_open

from semask.comparison.recomputed import check_training

from .conftest import WITH_LOADERS, Trainer


@pytest.fixture(scope="module")
def full(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """A full run of one process."""
    made = Trainer(data, tmp_path_factory.mktemp("full") / "run")
    printed = made.run(parts=WITH_LOADERS)
    assert printed == ""  # no progress line where there is no terminal
    return made


def test_a_full_run(full: Trainer) -> None:
    run = full
    record, lines = run.record(), run.lines()
    evaluations = {x["iteration"]: x["evaluation"]["miou"] for x in lines if "evaluation" in x}
    assert sorted(evaluations) == [2, 4, 6]
    best = record["figures"]["best"]
    assert best["miou"] == max(evaluations.values())
    assert evaluations[best["iteration"]] == best["miou"]
    with safe_open(run.folder / "best.safetensors", "pt") as weights:
        facts = json.loads(weights.metadata()["semask"])
        assert facts["iteration"] == best["iteration"]
        assert facts["recipe_digest"] == record["recipe_digest"]
    with safe_open(run.folder / "last.safetensors", "pt") as weights:
        assert json.loads(weights.metadata()["semask"])["iteration"] == 6
    assert record["recipe"]["training"]["global_batch"] == 4
    # 0.001 falls to 0 in 6 iterations, and rises from a tenth of that in the first 2
    told = [x["lr"] for x in lines if "evaluation" not in x]
    assert told == pytest.approx([1e-4, 0.55 * 5e-3 / 6, 4e-3 / 6, 5e-4, 2e-3 / 6, 1e-3 / 6])
    [process] = record["ran"]["processes"]
    assert (process["rank"], process["threads"], process["host"]) == (0, 1, socket.gethostname())
    assert process["device"] == record["device"]["name"]
    assert record["ran"]["graphs"] == {"compiled": 0, "recompiled": 0, "breaks": 0}
    assert record["ran"]["precision"]["matmul"] == "highest"
    assert record["figures"]["speed"]["conditions"] == []
    assert (process["attention"], process["workers"]) == (["explicit"], 1)
    assert {*process["dtypes"].values()} == {"float32"}
    check_training("train.json", record, run.folder / "log.jsonl")
    assert not (run.folder / "work").exists()
    assert {path.name for path in run.folder.iterdir()} == {
        "best.safetensors", "last.safetensors", "log.jsonl", "tensorboard", "train.json"
    }  # fmt: skip


def test_more_loaders_than_cores_are_told_in_one_line(trainer: Callable[[str], Trainer]) -> None:
    if shutil.which("taskset") is None:
        pytest.skip("needs util-linux's taskset, which takes cores from a process")
    one = ["taskset", "--cpu-list", str(min(os.sched_getaffinity(0)))]
    printed = trainer("a").run(
        wrapper=one, mode="performance", parts={"loader": {"workers": 2}}, iterations=2
    )
    said = "loader.workers: 2 processes load here, and the cores are 1"
    assert printed.splitlines().count(f"CPU-1P performance seed 0: {said}") == 1
    assert "DataLoader" not in printed


def test_a_performance_run(trainer: Callable[[str], Trainer]) -> None:
    run = trainer("a")
    run.run(mode="performance")
    record = run.record()
    seconds = [line["seconds"] for line in run.lines()]
    assert len(seconds) == 5
    speed = record["figures"]["speed"]
    assert speed["iterations_measured"] == 3
    assert speed["fps"] == pytest.approx(4 * 3 / sum(seconds[2:]))
    assert speed["fps_log_window"] == pytest.approx(4 * 2 / sum(seconds[2:4]))
    assert speed["communication_share"] == 0
    [conditions] = speed["conditions"]
    assert conditions["host"] == socket.gethostname()
    # what takes less than two seconds tells nothing of other programs, and the record says so
    told = conditions["seconds"] >= 2
    assert (conditions["others"] is not None) == told
    unobserved = " ".join(conditions["not_observed"])
    assert ("s are too short to tell what other programs took" in unobserved) == (not told)
    assert record["weights_digest"] == {}
    assert record["recipe"]["training"]["iterations"] == 5


def test_epochs_replace_iterations(trainer: Callable[[str], Trainer]) -> None:
    run = trainer("a")
    run.run(epochs=3, evaluate_every=100)
    # 3 passes over 6 images in batches of 4, rounded up
    assert run.record()["recipe"]["training"]["iterations"] == 5
    assert [x["iteration"] for x in run.lines() if "evaluation" in x] == [5]


def test_seeds_decide_everything(trainer: Callable[[str], Trainer], full: Trainer) -> None:
    runs = {name: trainer(name) for name in ("same", "other")}
    for name, run in runs.items():
        run.run(seed=int(name == "other"))
    assert full.curve() == runs["same"].curve()
    assert full.record()["weights_digest"] == runs["same"].record()["weights_digest"]
    assert full.curve() != runs["other"].curve()


def test_one_and_two_processes_start_alike(
    trainer: Callable[[str], Trainer], full: Trainer
) -> None:
    two = trainer("two")
    two.run(processes=2)
    first, second = full.curve()[0], two.curve()[0]
    # dropout draws in each process; all else is the same
    assert first["loss"] == pytest.approx(second["loss"], rel=0.05)
    assert full.record()["recipe_digest"] == two.record()["recipe_digest"]


def test_shuffled_labels(trainer: Callable[[str], Trainer], full: Trainer) -> None:
    shuffled = trainer("shuffled")
    shuffled.run(iterations=2, shuffle_labels=True)
    assert shuffled.curve()[0]["loss"] != full.curve()[0]["loss"]
