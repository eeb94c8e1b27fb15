"""Training through its command line: runs, records, resuming, seeds."""

import json
import os
import signal
import time
from collections.abc import Callable

import psutil
import pytest
from safetensors import safe_open
from safetensors.torch import load_file

from .conftest import Trainer


def test_a_full_run(trainer: Callable[[str], Trainer]) -> None:
    run = trainer("a")
    printed = run.run()
    assert printed == ""  # no progress line where there is no terminal
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
    assert not (run.folder / "work").exists()
    assert {path.name for path in run.folder.iterdir()} == {
        "best.safetensors", "last.safetensors", "log.jsonl", "tensorboard", "train.json"
    }  # fmt: skip


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
    assert record["weights_digest"] == {}
    assert record["recipe"]["training"]["iterations"] == 5


def test_epochs_replace_iterations(trainer: Callable[[str], Trainer]) -> None:
    run = trainer("a")
    run.run(epochs=2, evaluate_every=100)
    # 2 passes over 6 images in batches of 4
    assert run.record()["recipe"]["training"]["iterations"] == 3
    assert [x["iteration"] for x in run.lines() if "evaluation" in x] == [3]


def test_seeds_decide_everything(trainer: Callable[[str], Trainer]) -> None:
    runs = {name: trainer(name) for name in ("first", "same", "other")}
    for name, run in runs.items():
        run.run(seed=int(name == "other"))
    assert runs["first"].curve() == runs["same"].curve()
    assert runs["first"].record()["weights_digest"] == runs["same"].record()["weights_digest"]
    assert runs["first"].curve() != runs["other"].curve()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_run_goes_on_to_the_same_end(
    trainer: Callable[[str], Trainer], processes: int
) -> None:
    whole, killed = trainer("whole"), trainer("killed")
    whole.run(processes=processes, iterations=12)
    killed.killed_after(4, processes=processes, iterations=12)
    assert not (killed.folder / "train.json").exists()
    killed.run(processes=processes, iterations=12)
    assert killed.curve() == whole.curve()
    for name in ("best", "last"):
        a = load_file(whole.folder / f"{name}.safetensors")
        b = load_file(killed.folder / f"{name}.safetensors")
        assert a.keys() == b.keys()
        assert all(a[key].equal(b[key]) for key in a)


def test_nothing_outlives_a_killed_launcher(trainer: Callable[[str], Trainer]) -> None:
    whole, killed = trainer("whole"), trainer("killed")
    whole.run(processes=2, iterations=12)
    process = killed.start(processes=2, iterations=12)
    children: list[psutil.Process] = []
    deadline = time.monotonic() + 120
    while not (killed.folder / "work/checkpoint.pt").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        children = psutil.Process(process.pid).children(recursive=True)
        time.sleep(0.01)
    assert len(children) >= 2
    process.kill()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []
    process.communicate()
    killed.run(processes=2, iterations=12)
    assert killed.curve() == whole.curve()


def test_another_recipe_does_not_go_on(trainer: Callable[[str], Trainer]) -> None:
    run = trainer("a")
    run.killed_after(2)
    printed = run.run(ok=False, learning_rate=0.1)
    [line] = printed.splitlines()
    assert line.startswith("error: work: holds an unfinished run")
    assert "recipe.training.learning_rate" in line


def test_a_damaged_checkpoint_is_named(trainer: Callable[[str], Trainer]) -> None:
    run = trainer("a")
    run.killed_after(2)
    checkpoint = run.folder / "work/checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    printed = run.run(ok=False)
    [line] = printed.splitlines()
    assert line.startswith("error: work/checkpoint.pt: cannot be read")


def test_two_trainers_do_not_share_a_folder(trainer: Callable[[str], Trainer]) -> None:
    run = trainer("a")
    first = run.start(iterations=200, evaluate_every=200)
    try:
        deadline = time.monotonic() + 120
        while not (run.folder / "work/log.jsonl").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        printed = run.run(ok=False)
        [line] = printed.splitlines()
        assert "another training process works in this folder" in line
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()


def test_one_and_two_processes_start_alike(trainer: Callable[[str], Trainer]) -> None:
    one, two = trainer("one"), trainer("two")
    one.run()
    two.run(processes=2)
    first, second = one.curve()[0], two.curve()[0]
    # dropout draws in each process; all else is the same
    assert first["loss"] == pytest.approx(second["loss"], rel=0.05)
    assert one.record()["recipe_digest"] == two.record()["recipe_digest"]


def test_bf16_and_shuffled_labels(trainer: Callable[[str], Trainer]) -> None:
    plain, mixed, shuffled = trainer("plain"), trainer("mixed"), trainer("shuffled")
    plain.run(iterations=2)
    mixed.run(iterations=2, precision="bf16")
    shuffled.run(iterations=2, shuffle_labels=True)
    losses = [run.curve()[0]["loss"] for run in (plain, mixed, shuffled)]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert losses[0] != losses[1]
    assert losses[0] != losses[2]
