"""A workflow that is killed, stopped or out of room: the next call finishes the same table."""

import contextlib
import json
import os
import re
import signal
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psutil
import pytest

from .conftest import Background, Checkout

pytestmark = pytest.mark.workflow

EVERY_ITERATION = {"fault_tolerance": {"checkpoint_iterations": 1}}
# where a test waits for one row: Snakemake is free to train the other one first
CPU_1P = "results/cpu-1p/full/seed0/train.json"


class Workflow(Background):
    """Snakemake on two cores, in the background."""

    def __init__(self, checkout: Checkout, log: Path, *targets: str, warm: bool = False):
        options = ("--cores", "2", "--configfile", "tiny.yaml", "--", *targets)
        super().__init__(checkout, log, "-m", "snakemake", *options, warm=warm)

    def wait_for_checkpoint_of(self, row: str) -> None:
        folder = self.folder / f"results/{row}/full/seed0/work/checkpoints"
        self.wait_for(lambda: any(folder.glob("[0-9]*.pt")))

    def jobs(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def finished(self) -> Counter[str]:
        """Jobs that Snakemake has noted the end of, by rule."""
        return Counter(
            re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", self.log.read_text(encoding="utf-8"))
        )


def weights(checkout: Checkout) -> dict[str, bytes]:
    results = checkout.folder / "results"
    return {str(f.relative_to(results)): f.read_bytes() for f in results.rglob("*.safetensors")}


def scores(checkout: Checkout) -> list[list[object]]:
    table = pd.read_csv(checkout.folder / "results/table.csv")
    columns = ["name", "kind", "acc1", "last_miou", "acc1_state", "fps_state"]
    rows = table[columns].astype(object).fillna("none").values.tolist()
    told = json.loads((checkout.folder / "results/table.json").read_text(encoding="utf-8"))["rows"]
    # whether other programs disturbed a speed is the machine's affair
    warnings = [[x for x in of["warnings"] if "its FPS says little" not in x] for of in told]
    return [[*row, len(said)] for row, said in zip(rows, warnings, strict=True)]


def test_killed_stopped_and_restarted(
    checkout: Checkout, finished: Checkout, tmp_path: Path
) -> None:
    """Head killed, Ctrl-C, machine restarted, trainer asked to leave: one after the other."""
    checkout.configure(EVERY_ITERATION)
    ended: Counter[str] = Counter()

    killed = Workflow(checkout, tmp_path / "killed.log", CPU_1P)
    killed.wait_for_checkpoint_of("cpu-1p")
    jobs = killed.jobs()
    killed.process.kill()
    _, alive = psutil.wait_procs(jobs, timeout=60)
    assert alive == []  # nothing goes on writing behind the next one's back
    killed.process.wait()
    ended += killed.finished()

    stopped = Workflow(checkout, tmp_path / "stopped.log", warm=True)
    stopped.wait_for_checkpoint_of("cpu-2p")
    os.killpg(stopped.process.pid, signal.SIGINT)
    assert stopped.process.wait(timeout=300) != 0
    assert "Traceback" not in stopped.log.read_text(encoding="utf-8")
    ended += stopped.finished()

    restarted = Workflow(checkout, tmp_path / "restarted.log")
    restarted.wait_for_checkpoint_of("cpu-2p")
    for process in [psutil.Process(restarted.process.pid), *restarted.jobs()]:
        with contextlib.suppress(psutil.NoSuchProcess):  # ended with one that is killed already
            process.kill()
    restarted.process.wait()
    ended += restarted.finished()

    asked = Workflow(checkout, tmp_path / "asked.log", warm=True)
    asked.wait_for_checkpoint_of("cpu-2p")
    asked.wait_for(lambda: asked_to_leave(trainers(asked)))
    assert asked.process.wait(timeout=1500) == 0, asked.log.read_text(encoding="utf-8")
    ended += asked.finished()

    # what was complete did not run again
    assert max(ended.values()) == ended["labels"] == 5, ended
    assert ended["train"] == 2
    assert weights(checkout) == weights(finished)
    assert scores(checkout) == scores(finished)
    assert not list(checkout.folder.rglob("work"))
    assert not list(checkout.folder.rglob("*.tmp*"))
    assert checkout.planned() == {}


def trainers(workflow: Workflow) -> list[psutil.Process]:
    """Jobs that train, as Snakemake started them."""
    found = []
    for child in psutil.Process(workflow.process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # another job that ends meanwhile
            if "--output-log" in child.cmdline():
                found.append(child)
    return found


def asked_to_leave(processes: list[psutil.Process]) -> bool:
    """Whether one of them was there to be sent SIGTERM."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
            return True
    return False


def test_two_workflows_do_not_share_a_folder(checkout: Checkout, tmp_path: Path) -> None:
    first = Workflow(checkout, tmp_path / "first.log")
    first.wait_for(lambda: bool(first.finished()))
    printed = checkout.snakemake(ok=False)
    assert "cannot be locked" in printed
    first.process.kill()
    first.process.wait()
    checkout.snakemake("data/streets-labels/train.json")


def test_a_dry_run_is_no_snakemake_at_work(checkout: Checkout) -> None:
    """It removes what a killed one left, and holds nothing while it plans."""
    with open(checkout.folder / "Snakefile", "a", encoding="utf-8") as snakefile:
        snakefile.write(
            "\nimport fcntl\n"
            "with open('.snakemake/semask.lock') as file:\n"
            "    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        )
    left = checkout.folder / ".snakemake/locks/0.output.lock"
    left.parent.mkdir(parents=True)
    left.write_text("results/table.md\n", encoding="utf-8")
    (checkout.folder / ".snakemake/semask.lock").write_text(socket.gethostname(), encoding="utf-8")
    assert "cannot be locked" not in checkout.snakemake("--dry-run", "--quiet", "rules")
    assert not left.exists()
    assert "BlockingIOError" in checkout.snakemake("--summary", ok=False)


def test_a_stage_whose_end_was_not_noted_is_not_done_again(
    copy_of_finished: Callable[[], Checkout],
) -> None:
    """The run had ended and Snakemake was killed before it had noted so."""
    changed = copy_of_finished()
    run = changed.folder / "results/cpu-1p/full/seed0"
    changed.snakemake("--forcerun", "train", "--", CPU_1P)
    record = json.loads((run / "train.json").read_text(encoding="utf-8"))
    assert not (run / "work").exists()
    changed.snakemake("--forcerun", "train", "--no-hooks", "--", CPU_1P)
    again = json.loads((run / "train.json").read_text(encoding="utf-8"))
    assert again["run"]["started"] > record["run"]["started"]
    assert (run / "work").exists()
    printed = changed.snakemake("--forcerun", "train", "--", CPU_1P)
    assert "the run was complete already" in printed
    assert json.loads((run / "train.json").read_text(encoding="utf-8")) == again
    assert not (run / "work").exists()


def test_a_warning_to_the_whole_group_keeps_what_was_reached(
    checkout: Checkout, tmp_path: Path
) -> None:
    """As a scheduler may send it ahead of a time limit: Snakemake outlives it, too."""
    only_when_asked = {"checkpoint_iterations": None, "checkpoint_minutes": None, "retries": 0}
    long = {"training": {"iterations": 2000, "evaluate_every": 2000}}
    checkout.configure({"fault_tolerance": only_when_asked, **long})
    warned = Workflow(checkout, tmp_path / "warned.log", CPU_1P, warm=True)
    log = checkout.folder / "results/cpu-1p/full/seed0/work/log.jsonl"
    warned.wait_for(lambda: log.exists() and log.read_text(encoding="utf-8").count("\n") > 2)
    os.killpg(warned.process.pid, signal.SIGUSR1)
    assert warned.process.wait(timeout=300) != 0
    assert "interrupted: SIGUSR1 after iteration " in warned.log.read_text(encoding="utf-8")
    assert list(log.parent.glob("checkpoints/[0-9]*.pt"))


def test_a_name_that_snakemake_cannot_bear_is_said_at_once(checkout: Checkout) -> None:
    checkout.snakemake("data/streets-labels/dataset.json")
    image = min((checkout.folder / "data/streets/leftImg8bit/train/alder").iterdir())
    image.rename(image.with_name("we{ird_000001_000019_leftImg8bit.png"))
    (checkout.folder / "data/streets-labels/dataset.json").unlink()
    checkout.configure({"dataset": {"name": "cityscapes"}})
    printed = checkout.snakemake("data/streets-labels/verified.json", ok=False)
    [line] = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert "we{ird" in line
