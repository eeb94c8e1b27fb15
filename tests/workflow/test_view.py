"""The view of a workflow while it runs: on a terminal, in a log, and under --quiet."""

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pyte
import pytest

from .conftest import Checkout
from .stub_trainer import ITERATIONS

pytestmark = pytest.mark.workflow

LINES, COLUMNS = 24, 100
TRAINING_ALONE = ("--allowed-rules", "train")
RUNS = [f"results/cpu-1p/full/seed{seed}/train.json" for seed in (0, 1)]
# docs/progress.md
CRON = ("--quiet", "all", "--workflow-profile", "none", "--keep-going", "--rerun-incomplete",
        "--show-failed-logs")  # fmt: skip


@pytest.fixture
def stubbed(checkout: Checkout) -> Checkout:
    """A checkout with two runs to train side by side, by a stand-in for the trainer."""
    shutil.copy(Path(__file__).with_name("stub_trainer.py"), checkout.folder)
    checkout.edit("rules/train.smk", "python -m workflow_scripts.train", "python -m stub_trainer")
    for name, seconds in (("_LINE_SECONDS", 60.0), ("_REDRAW_SECONDS", 1.0)):
        checkout.edit("semask/workflow/view.py", f"{name} = {seconds}", f"{name} = 0.2")
    row = {"device": "cpu", "processes": 1, "threads": 1, "modes": ["full"], "seeds": [0, 1]}
    checkout.configure({"rows": [row], "fault_tolerance": {"retries": 0}})
    labels = checkout.folder / "data/streets-labels"
    labels.mkdir(parents=True)
    for name in ("train", "val", "verified"):
        (labels / f"{name}.json").write_text("{}", encoding="utf-8")
    return checkout


class Terminal:
    """A command in a terminal of its own, as another program shows it."""

    def __init__(self, command: list[str], checkout: Checkout):
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        # a session whose terminal it is, as that of a shell
        become = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        become += "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
        self.process = subprocess.Popen(
            [sys.executable, "-c", become, *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=checkout.folder,
            env={**checkout.environment, "TERM": "xterm"},
            start_new_session=True,
        )
        os.close(theirs)
        self.screen = pyte.HistoryScreen(COLUMNS, LINES, history=10_000)
        self.stream = pyte.ByteStream(self.screen)

    def read(self) -> bool:
        """Take what has been written; whether there may be more."""
        try:
            data = os.read(self.ours, 65536)
        except OSError:  # how Linux says that nobody writes any more
            data = b""
        if not data:
            os.close(self.ours)
            return False
        self.stream.feed(data)
        return True

    def lines(self) -> list[str]:
        """All that is shown, from the first line on."""
        past = ["".join(line[x].data for x in range(COLUMNS)) for line in self.screen.history.top]
        return [line.rstrip() for line in [*past, *self.screen.display]]


def test_on_a_terminal_the_view_stays_below_what_others_write(stubbed: Checkout) -> None:
    options = ["--configfile", "tiny.yaml", "--cores", "2", "--nocolor", *TRAINING_ALONE]
    terminal = Terminal(["-m", "snakemake", *options, "--", *RUNS], stubbed)
    views = set()
    while terminal.read():
        *_, whole, first, second = terminal.screen.display
        if whole.startswith("0 of 2 jobs done, 2 running"):
            views.add((whole.rstrip(), first.rstrip(), second.rstrip()))
    lines = terminal.lines()
    assert terminal.process.wait() == 0, lines
    assert len(views) > 2, lines
    for whole, *runs in views:
        left = r"(at least )?\d+ s left"
        assert re.fullmatch(rf"0 of 2 jobs done, 2 running, ({left}|time left unknown)", whole)
        for seed, run in enumerate(sorted(runs)):
            far = rf"\d+/{ITERATIONS}, ({left}|finishing), loss 0.250, 8.0 images/s, 0 % waiting.*"
            assert re.fullmatch(
                rf"train CPU-1P seed {seed}: ({far}|no iteration yet(, {left})?)", run
            )
    # whole lines of Snakemake, and all that the jobs have said; nothing is left of the view
    assert lines.count("rule train:") + lines.count("localrule train:") == 2
    assert "2 of 2 steps (100%) done" in lines
    # Snakemake writes a newline on its own: a message that comes before it ends Snakemake's line
    for seed in (0, 1):
        for iteration in range(1, ITERATIONS + 1):
            message = f"seed {seed}, message {iteration}"
            assert sum(line.endswith(message) for line in lines) == 1, lines
    assert not [line for line in lines if "jobs done" in line or line.startswith("train CPU")]
    assert terminal.screen.margins is None


def test_elsewhere_a_line_says_now_and_then_how_far_it_is(stubbed: Checkout) -> None:
    printed = stubbed.snakemake(*TRAINING_ALONE, "--", *RUNS)
    said = [line for line in printed.splitlines() if "jobs done" in line]
    assert len(said) > 1
    assert len(said) == len(set(said))
    run = rf"train CPU-1P seed \d: \d+/{ITERATIONS}, \d+ s left, loss 0.250, 8.0 images/s, 0 % .*"
    assert any(re.fullmatch(rf"0 of 2 jobs done, 2 running, .*; {run}; {run}", x) for x in said)
    assert "\x1b" not in printed


def test_quiet_is_quiet_but_for_errors(stubbed: Checkout) -> None:
    for old in ("say(f\"seed {given.run['seed']}, message {iteration}\")", "time.sleep(0.25)"):
        stubbed.edit("stub_trainer.py", old, "pass")
    assert stubbed.snakemake(*TRAINING_ALONE, *CRON, "--", RUNS[0]) == ""
    (stubbed.folder / "fault").touch()
    printed = stubbed.snakemake(*TRAINING_ALONE, *CRON, "--", RUNS[1], ok=False)
    assert printed.count("error: seed 1: no such thing") == 1
    assert "jobs done" not in printed
    # what it hides of itself under --quiet alone
    printed = stubbed.snakemake(*TRAINING_ALONE, "--quiet", "--", RUNS[1], ok=False)
    assert printed.count("error: seed 1: no such thing") == 1
    assert "jobs done" not in printed
    assert "Select jobs" not in printed
