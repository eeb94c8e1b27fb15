"""The embedded experiment through Snakemake on a device, and a trainer that is killed."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import yaml

from benchmarks.gpu.ways import Keep, Left, NotRunError
from semask.base.files import sha256
from semask.base.records import read_record
from semask.base.signals import end_with_parent

REPOSITORY = Path(__file__).parents[2]
_PARTS = ("Snakefile", "config.yaml", "envs", "experiments", "profiles", "published", "report",
          "rules", "schemas", "semask", "workflow_scripts")  # fmt: skip
_LAST = 15  # lines of a failed call that are told

# so small that every stage takes little more than its imports
_TOY: dict[str, Any] = {
    "dataset": {
        "streets": {
            "width": 64,
            "height": 32,
            "cities": {"train": {"alder": 3, "birch": 3, "cedar": 3}, "val": {"elm": 2, "fir": 2}},
        }
    },
    "training": {
        "iterations": 20,
        "evaluate_every": 20,
        "batch": {"size": 2},
        "augmentation": {"scale": [64, 32], "crop": [32, 32]},
    },
    "performance": {
        "iterations": 4,
        "warmup_iterations": 1,
        "log_window": {"ends_at": 4, "length": 2},
    },
    "loader": {"workers": 0},
    "evaluation": {"scale": [64, 32], "predictions": 2},
}


def measure(arguments: argparse.Namespace, keep: Keep, left: Left) -> None:
    """Runs the experiment and keeps `table`, results/table.md; then `killed`, what `_killed` finds.

    Raises:
        RuntimeError: a run failed; with the end of what it printed.
    """
    if find_spec("snakemake") is None:
        raise NotRunError("no snakemake")
    device = arguments.device
    row = {"device": device, "processes": 1, "threads": 1, "seeds": [0]}
    both = [{**row, "modes": ["full", "performance"]}]
    if device != "cpu":  # whose losses can be held against the CPU's
        both.insert(0, {**row, "device": "cpu", "modes": ["full"]})
    small: Mapping[str, Any] = _TOY if arguments.quick else {}
    with tempfile.TemporaryDirectory(prefix="semask-smoke-") as name:
        folder = Path(name) / "checkout"
        _copy(folder)
        files = [f"experiments/smoke_{device}.yaml"] if device != "cpu" else []
        begun = time.monotonic()
        _overlay(folder / "first.yaml", small, {"rows": both, "results": "results/first"})
        with _started(folder, [*files, "first.yaml"], "results/first/table.md"):
            pass
        keep("seconds", time.monotonic() - begun)
        keep("table", (folder / "results/first/table.md").read_text(encoding="utf-8"))
        keep("killed", _killed(folder, files, small, {**row, "modes": ["full"]}))


def _killed(
    folder: Path, files: list[str], small: Mapping[str, Any], row: Mapping[str, Any]
) -> dict[str, Any]:
    """A full run undisturbed, and one whose trainer is killed with kill -9 after a checkpoint.

    Returns:
        killed: whether it was in time; tries: of the run that was killed; equal: whether the last
        weights of both are the same bytes (`numerics.deterministic` is on).
    """
    targets, killed = {}, False
    for name in ("undisturbed", "killed"):
        settings = {
            "rows": [row],
            "results": f"results/{name}",
            "numerics": {"deterministic": True},
            "fault_tolerance": {"checkpoint_iterations": 1},
        }
        _overlay(folder / f"{name}.yaml", small, settings)
        run = Path(f"results/{name}/{row['device']}-1p/full/seed0")
        targets[name] = folder / run
        with _started(folder, [*files, f"{name}.yaml"], str(run / "train.json")) as process:
            if name == "killed":
                killed = _kill_trainer(process, folder / run)
    record = read_record(targets["killed"] / "train.json", "train")
    weights = [sha256(run / "last.safetensors") for run in targets.values()]
    return {
        "killed": killed,
        "tries": len(record["figures"].get("tries", [])),
        "equal": weights[0] == weights[1],
    }


def _kill_trainer(process: subprocess.Popen[bytes], run: Path) -> bool:
    """Kills what trains, once there is a checkpoint; False where the run ended before."""
    while process.poll() is None:
        if any((run / "work/checkpoints").glob("[0-9]*.pt")):
            for child in psutil.Process(process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):  # another one, that has ended since
                    if "--output-log" in child.cmdline():
                        child.send_signal(signal.SIGKILL)
                        return True
            return False
        time.sleep(0.005)
    return False


def _copy(folder: Path) -> None:
    folder.mkdir()
    for part in _PARTS:
        source = REPOSITORY / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, folder / part)


def _overlay(path: Path, *layers: Mapping[str, Any]) -> None:
    # the layers have no key in common but `training`'s, which only the first has
    path.write_text(yaml.safe_dump({k: v for of in layers for k, v in of.items()}), "utf-8")


@contextmanager
def _started(folder: Path, files: list[str], target: str) -> Iterator[subprocess.Popen[bytes]]:
    """Snakemake in a folder; waits for its end.

    Raises:
        RuntimeError: it failed.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }
    command = ["-m", "snakemake", "--cores", "all", "--configfile", *files, "--", target]
    log = folder / "snakemake.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=end_with_parent,
        )
        yield process
        status = process.wait()
    if status:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        print("\n".join(lines[-100:]), flush=True)
        raise RuntimeError(f"snakemake ended with {status}: " + " / ".join(lines[-_LAST:]))
