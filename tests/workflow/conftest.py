import locale
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml
from filelock import FileLock

from semask.config.layers import assemble

from ..conftest import BEING_COMPILED
from ..warm import Started, warm_snakemake

REPOSITORY = Path(__file__).parents[2]
PARTS = ("Snakefile", "config.yaml", "envs", "profiles", "published", "report", "rules",
         "schemas", "semask", "workflow_scripts")  # fmt: skip

# the embedded experiment, so small that every stage takes little more than its imports
TINY: dict[str, Any] = {
    "dataset": {
        "streets": {
            "width": 64,
            "height": 32,
            "cities": {"train": {"alder": 3, "birch": 3, "cedar": 3}, "val": {"elm": 2, "fir": 2}},
        }
    },
    "training": {
        "iterations": 4,
        "evaluate_every": 2,
        "batch": {"size": 2},
        "augmentation": {"scale": [64, 32], "crop": [32, 32]},
    },
    "performance": {
        "iterations": 4,
        "warmup_iterations": 1,
        "log_window": {"ends_at": 4, "length": 2},
    },
    "loader": {"workers": 0},
    "parity": {"looks": []},
    "cross": [],
    "evaluation": {"scale": [64, 32], "predictions": 2},
    "rows": [
        {"device": "cpu", "processes": 1, "threads": 1, "modes": ["full", "performance"],
         "seeds": [0]},
        {"device": "cpu", "processes": 2, "threads": 1, "modes": ["full"], "seeds": [0]},
    ],
}  # fmt: skip

# as far as the language of the machine has these characters
LANGUAGE = sys.getfilesystemencoding()
ODD = """it's a "check out"; 100%\n$HOME `größe` \\ 数据"""
ODD = ODD.encode(LANGUAGE, "ignore").decode(LANGUAGE)


class Checkout:
    """A copy of the workflow in a folder of its own, with a small experiment."""

    umask = -1  # that of the tests
    surroundings: Mapping[str, str] = MappingProxyType({})  # variables beside those of the tests

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True)
        for part in PARTS:
            source = REPOSITORY / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=BEING_COMPILED)
            else:
                shutil.copyfile(source, folder / part)
        self.configure(TINY)

    @property
    def environment(self) -> dict[str, str]:
        """Environment in which the copy's code is imported, not the installed one."""
        path = filter(None, [str(self.folder), self.surroundings.get("PYTHONPATH")])
        return {**os.environ, **self.surroundings, "PYTHONPATH": os.pathsep.join(path)}

    def copy(self, target: Path) -> "Checkout":
        """A copy that a test may change."""
        # the modification times tell snakemake what is new
        shutil.copytree(self.folder, target, copy_function=shutil.copy2, symlinks=True)
        made = Checkout.in_folder(target)
        made.surroundings = self.surroundings
        return made

    @staticmethod
    def in_folder(folder: Path) -> "Checkout":
        """The checkout that is in a folder."""
        made = object.__new__(Checkout)
        made.folder = folder
        return made

    def configure(self, overlay: Mapping[str, Any]) -> None:
        """Merge an overlay into the overlay that all runs are given."""
        path = self.folder / "tiny.yaml"
        known = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(yaml.safe_dump(assemble([known, overlay])), encoding="utf-8")

    def snakemake(self, *arguments: str, ok: bool = True) -> str:
        """Run snakemake and give back all that it printed."""
        done = warm_snakemake().run(
            "snakemake",
            ["--configfile", "tiny.yaml", "--cores", "2", *arguments],
            self.folder,
            environment=self.environment,
            umask=self.umask,
            together=True,
        )
        assert (done.status == 0) == ok, done.stdout
        return done.stdout

    def planned(self, *arguments: str) -> dict[str, int]:
        """Jobs that a run would do, by rule; the target rule `all` is left out."""
        printed = self.snakemake("--dry-run", "--quiet", "rules", *arguments)
        jobs = {}
        if "Job stats:" in printed:
            for line in printed.split("Job stats:")[1].splitlines():
                words = line.split()
                if len(words) == 2 and words[1].isdigit() and words[0] not in ("all", "total"):
                    jobs[words[0]] = int(words[1])
        return jobs

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A fresh checkout in which nothing was run."""
    return Checkout(tmp_path / "a checkout")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout with a finished table; not to be changed by a test.

    The first of the processes that run the tests makes it for all of them.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = shared / "finished", shared / "finished.done"
    with FileLock(shared / "finished.lock"):
        if done.exists():
            return Checkout.in_folder(folder / ODD)
        made = Checkout(folder / ODD)
        made.umask = 0o027
        printed = made.snakemake()
        (folder / "printed.txt").write_text(printed, encoding="utf-8")
        done.touch()
        return made


@pytest.fixture
def copy_of_finished(finished: Checkout, tmp_path: Path) -> Callable[[], Checkout]:
    """Makes copies of the finished checkout that a test may change."""

    def copy() -> Checkout:
        return finished.copy(tmp_path / f"copy {len(list(tmp_path.iterdir()))}")

    return copy


class Background:
    """Snakemake in the background, in a session of its own, with what it printed in a file.

    With `warm` it and its jobs are forks: these are no children of it, and end with it only where
    it ends them.
    """

    pause = 0.005  # seconds between two looks whether something is reached

    def __init__(self, checkout: Checkout, log: Path, *command: str, warm: bool = False):
        self.folder, self.log = checkout.folder, log
        self.process: subprocess.Popen[bytes] | Started
        if warm:
            assert command[:2] == ("-m", "snakemake")
            self.process = warm_snakemake().start(
                "snakemake", command[2:], self.folder, environment=checkout.environment, output=log
            )
            return
        with open(log, "w", encoding="utf-8") as file:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=checkout.folder,
                env=checkout.environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def printed(self) -> str:
        return self.log.read_text(encoding=locale.getencoding())

    def wait_for(self, reached: Callable[[], Any], what: str = "what was waited for") -> None:
        deadline = time.monotonic() + 900
        while not reached():
            assert self.process.poll() is None, f"ended before {what}: {self.printed}"
            assert time.monotonic() < deadline, f"waited for {what}: {self.printed}"
            time.sleep(self.pause)
