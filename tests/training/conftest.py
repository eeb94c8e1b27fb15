"""A trainer on a few small scenes, started through its command line."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from semask.data.labels import convert_part
from semask.data.manifest import merge, write_manifest
from semask.data.sets import streets
from semask.data.streets import generate

from ..warm import Started, warm_scripts

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
        "batch": {"size": 4, "per": "run", "micro_batch": None},
        "learning_rate": 0.001,
        "weight_decay": 0.05,
        "warmup_iterations": 2,
        "warmup_ratio": 0.1,
        "precision": "fp32",
        "hard_pixels": None,
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
    "numerics": {
        "gelu": "exact",
        "reduced_matmul": False,
        "reduced_convolution": False,
        "deterministic": False,
        "shared_chance": False,
    },
    "execution": {"compile": [], "fused_attention": [], "checkpointing": []},
    "port_faults": {
        "drop_path_never_fires": False,
        "decay_everything": False,
        "fixed_loss_scale": None,
        "fast_gelu": False,
    },
    "loader": {"workers": 0},
    "evaluation": {"scale": [64, 32], "sliding_window": None},
    "performance": {
        "iterations": 5,
        "warmup_iterations": 2,
        "log_window": {"ends_at": 4, "length": 2},
    },
}


FAULT_TOLERANCE: dict[str, Any] = {
    "checkpoint_iterations": 1,
    "checkpoint_minutes": None,
    "keep_checkpoints": 2,
    "stall_minutes": 5,
}
WITH_LOADERS: dict[str, Any] = {"loader": {"workers": 1}}
# long enough to be interrupted, with four evaluations
LONG: dict[str, Any] = {"iterations": 14, "evaluate_every": 4, "parts": WITH_LOADERS}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the scenes in `streets` and the labels and manifests in `labels`."""
    folder = tmp_path_factory.mktemp("data")
    cities = {"train": {"alder": 6}, "val": {"elm": 3}}
    generate(folder / "streets", seed=1, width=64, height=32, cities=cities)
    for split, city in (("train", "alder"), ("val", "elm")):
        made = convert_part(streets, folder / "streets", split, city, folder / "labels")
        write_manifest(folder / "labels" / f"{split}.json", merge([made]))
    return folder


Process = subprocess.Popen[str] | Started


def finish(process: Process, ok: bool = True) -> str:
    """Wait for a run and give back what it printed."""
    printed, _ = process.communicate(timeout=900)
    assert (process.returncode == 0) == ok, printed
    return printed


class Trainer:
    """Starts workflow_scripts.train on the small data set, with its files in one folder."""

    def __init__(self, data: Path, folder: Path):
        self.data, self.folder = data, folder

    def options(
        self,
        mode: str = "full",
        processes: int = 1,
        seed: int = 0,
        faults: Mapping[str, Any] | None = None,
        pretrained: Path | None = None,
        device: str = "cpu",
        forbid_fallbacks: bool = False,
        planted_fault: str | None = None,
        options: Sequence[str] = (),
        parts: Mapping[str, Mapping[str, Any]] | None = None,
        fault_tolerance: Mapping[str, Any] | None = None,
        **training: Any,
    ) -> list[str]:
        """Options of a run: `parts` change parts of the config other than `training`."""
        config = {
            **CONFIG,
            **{name: {**CONFIG[name], **part} for name, part in (parts or {}).items()},
            "training": {**CONFIG["training"], **training},
            "port_faults": {**CONFIG["port_faults"], **(faults or {})},
        }
        run = {"device": device, "processes": processes, "threads": 1, "mode": mode, "seed": seed}
        run["forbid_fallbacks"] = forbid_fallbacks
        run |= {"planted_fault": planted_fault} if planted_fault else {}
        weights = ["--best", "best.safetensors", "--last", "last.safetensors"]
        return [
            *("--config", json.dumps(config)),
            *("--run", json.dumps(run)),
            *("--train-manifest", str(self.data / "labels/train.json")),
            *("--val-manifest", str(self.data / "labels/val.json")),
            *("--root", str(self.data / "streets"), "--labels", str(self.data / "labels")),
            *("--fault-tolerance", json.dumps({**FAULT_TOLERANCE, **(fault_tolerance or {})})),
            *("--work", "work", "--output-log", "log.jsonl", "--record", "train.json"),
            *(weights if mode == "full" else []),
            *(["--pretrained", str(pretrained)] if pretrained else []),
            *options,
        ]

    def start(
        self,
        script: Sequence[str] = ("-m", "workflow_scripts.train"),
        environment: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
        **arguments: Any,
    ) -> Process:
        """Start a run with the arguments of `options`, to be interrupted or looked at.

        In a process of its own, whose children are those of the run, unless there is but one that
        can be a fork.
        """
        options = self.options(**arguments)
        self.folder.mkdir(exist_ok=True)
        variables = {**os.environ, **(environment or {})}
        alone = arguments.get("processes", 1) == 1 and arguments.get("device", "cpu") == "cpu"
        if alone and not wrapper:
            _, module, *first = script
            return warm_scripts().start(
                module, [*first, *options], self.folder, environment=variables, timeout=900
            )
        return subprocess.Popen(
            [*wrapper, sys.executable, *script, *options], cwd=self.folder, env=variables,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
            start_new_session=True,
        )  # fmt: skip

    def run(
        self,
        ok: bool = True,
        script: Sequence[str] = ("-m", "workflow_scripts.train"),
        environment: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
        **arguments: Any,
    ) -> str:
        """Run to the end and give back what was printed.

        The environment is added to once Python has started, unless there is a `wrapper`.
        Nothing is kept but what its evaluations keep: checkpoints take as long as iterations, and
        whoever interrupts a run says so by `start`.
        """
        arguments.setdefault("fault_tolerance", {"checkpoint_iterations": None})
        if wrapper:
            started = self.start(script, environment, wrapper, **arguments)
            return finish(started, ok)
        self.folder.mkdir(exist_ok=True)
        _, module, *first = script
        done = warm_scripts().run(
            module,
            [*first, *self.options(**arguments)],
            self.folder,
            environment={**os.environ, **(environment or {})},
            timeout=900,
            together=True,
        )
        assert (done.status == 0) == ok, done.stdout
        return done.stdout

    def killed_when(
        self, reached: Callable[[], bool], delay: float = 0.0, **arguments: Any
    ) -> None:
        """Train until something is reached, then kill -9 every process of the run."""
        process = self.start(**arguments)
        self.wait_for(process, reached)
        time.sleep(delay)
        self.kill(process)

    def killed_after(self, iteration: int, **arguments: Any) -> None:
        """Train until an iteration is in the log and there is a checkpoint, then kill the run."""

        def is_due() -> bool:
            ended = any((self.folder / x).exists() for x in ("train.json", "work/train.json"))
            return self.reached(iteration) and bool(self.checkpoints()) and not ended

        self.killed_while(is_due, **arguments)

    def killed_while(self, is_due: Callable[[], bool], **arguments: Any) -> None:
        """Kill a run while something is so; anew where a busy machine looks too late for that."""
        printed = ""
        for _ in range(5):
            process = self.start(**arguments)
            deadline = time.monotonic() + 600
            while process.poll() is None and not is_due():
                assert time.monotonic() < deadline
                time.sleep(0.005)
            assert process.poll() in (None, 0), process.communicate()[0]
            printed = self.kill(process)
            if is_due():
                return
            shutil.rmtree(self.folder / "work", ignore_errors=True)
            for made in ("log.jsonl", "train.json", "best.safetensors", "last.safetensors"):
                (self.folder / made).unlink(missing_ok=True)
        pytest.fail(f"could not be killed in time: {printed}")

    def wait_for(self, process: Process, reached: Callable[[], bool]) -> None:
        """Wait until something is reached; the run must not end before."""
        deadline = time.monotonic() + 600
        while not reached():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def reached(self, iteration: int) -> bool:
        """Whether the log of the unfinished run has come to an iteration."""
        return any(x["iteration"] >= iteration for x in self.lines(self.folder / "work/log.jsonl"))

    def children(self, process: Process) -> list[int]:
        """All processes that a run has started, also those in sessions of their own."""
        return [child.pid for child in psutil.Process(process.pid).children(recursive=True)]

    def ranks(self, process: Process) -> list[int]:
        """The training processes of a run of several, by rank."""
        workers = psutil.Process(process.pid).children()
        by_rank = {int(worker.environ()["RANK"]): worker.pid for worker in workers}
        return [by_rank[rank] for rank in sorted(by_rank)]

    def kill(self, process: Process) -> str:
        """Kill every process of a run, which may have ended, and give back what it printed."""
        children: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(process.pid).children(recursive=True)
        process.kill()  # first: it would say something of a loader that is gone
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):  # ended with it
                child.kill()
        return process.communicate()[0]

    def checkpoints(self) -> list[Path]:
        """Checkpoints in the work directory, the oldest first."""
        return sorted((self.folder / "work/checkpoints").glob("[0-9]*.pt"))

    def lines(self, path: Path | None = None) -> list[dict[str, Any]]:
        path = path or self.folder / "log.jsonl"
        whole = ""
        with contextlib.suppress(FileNotFoundError):
            whole = path.read_text("utf-8").rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def curve(self) -> list[dict[str, Any]]:
        """The log without its times, which no two runs share."""
        timed = ("seconds", "data_seconds")
        return [{k: v for k, v in line.items() if k not in timed} for line in self.lines()]

    def record(self) -> Any:
        return json.loads((self.folder / "train.json").read_text("utf-8"))


@pytest.fixture
def trainer(data: Path, tmp_path: Path) -> Callable[[str], Trainer]:
    return lambda name: Trainer(data, tmp_path / name)
