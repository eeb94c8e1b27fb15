"""Training through its command line, on a few small scenes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors import safe_open
from safetensors.torch import load_file

from semask.data.labels import convert_city
from semask.data.manifest import merge, write_manifest
from semask.data.streets import generate

CONFIG: dict[str, Any] = {
    "experiment": "test",
    "dataset": "streets",
    "model": {
        "variant": "nano",
        "num_classes": 19,
        "semantic_attention": ["windowed", "windowed", "global", "global"],
        "drop_path": 0.1,
        "norm": "syncbn",
    },
    "training": {
        "iterations": 6,
        "epochs": None,
        "evaluate_every": 2,
        "batch": {"size": 4, "per": "run"},
        "learning_rate": 0.001,
        "weight_decay": 0.05,
        "warmup_iterations": 2,
        "warmup_ratio": 0.1,
        "precision": "fp32",
        "shuffle_labels": False,
        "augmentation": {
            "scale": [64, 32],
            "ratio_range": [0.8, 1.2],
            "ratios": None,
            "crop": [32, 32],
            "cat_max_ratio": 0.75,
            "flip": 0.5,
            "photometric": True,
        },
    },
    "loader": {"workers": 1},
    "performance": {
        "iterations": 5,
        "warmup_iterations": 2,
        "log_window": {"ends_at": 4, "length": 2},
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the scenes in `streets` and the labels and manifests in `labels`."""
    folder = tmp_path_factory.mktemp("data")
    cities = {"train": {"alder": 6}, "val": {"elm": 3}}
    generate(folder / "streets", seed=1, width=64, height=32, cities=cities)
    for split, city in (("train", "alder"), ("val", "elm")):
        made = convert_city(folder / "streets", split, city, folder / "labels")
        write_manifest(folder / "labels" / f"{split}.json", merge([made]))
    return folder


class Trainer:
    """Starts workflow_scripts.train on the small data set, with its files in one folder."""

    def __init__(self, data: Path, folder: Path):
        self.data, self.folder = data, folder

    def start(
        self, mode: str = "full", processes: int = 1, seed: int = 0, **training: Any
    ) -> "subprocess.Popen[str]":
        config = {**CONFIG, "training": {**CONFIG["training"], **training}}
        weights = ["--best", "best.safetensors", "--last", "last.safetensors"]
        command = [
            *(sys.executable, "-m", "workflow_scripts.train", "--config", json.dumps(config)),
            *("--device", "cpu", "--processes", str(processes), "--threads", "1"),
            *("--mode", mode, "--seed", str(seed)),
            *("--train-manifest", str(self.data / "labels/train.json")),
            *("--val-manifest", str(self.data / "labels/val.json")),
            *("--root", str(self.data / "streets"), "--labels", str(self.data / "labels")),
            *("--work", "work", "--output-log", "log.jsonl", "--record", "train.json"),
            *(weights if mode == "full" else []),
        ]
        self.folder.mkdir(exist_ok=True)
        return subprocess.Popen(
            command, cwd=self.folder, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True, env=dict(os.environ),
        )  # fmt: skip

    def run(self, ok: bool = True, **arguments: Any) -> str:
        process = self.start(**arguments)
        printed, _ = process.communicate(timeout=300)
        assert (process.returncode == 0) == ok, printed
        return printed

    def killed_after(self, iteration: int, **arguments: Any) -> None:
        """Train until an iteration is evaluated, then kill -9 every process of the run."""
        process = self.start(**arguments)
        log = self.folder / "work/log.jsonl"
        deadline = time.monotonic() + 120
        while not (
            (self.folder / "work/checkpoint.pt").exists()
            and any(
                line["iteration"] == iteration and "evaluation" in line for line in self.lines(log)
            )
        ):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.01)
        # torchrun's workers have sessions of their own
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
        process.communicate()

    def lines(self, path: Path | None = None) -> list[dict[str, Any]]:
        path = path or self.folder / "log.jsonl"
        whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
        return [json.loads(line) for line in whole.splitlines()]

    def curve(self) -> list[dict[str, Any]]:
        """The log without its times, which no two runs share."""
        timed = ("seconds", "data_seconds")
        return [{k: v for k, v in line.items() if k not in timed} for line in self.lines()]

    def record(self) -> Any:
        return json.loads((self.folder / "train.json").read_text())


@pytest.fixture
def trainer(data: Path, tmp_path: Path) -> Callable[[str], Trainer]:
    return lambda name: Trainer(data, tmp_path / name)


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
