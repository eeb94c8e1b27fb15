import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from semask.base.errors import InputError
from semask.devices import conditions, locks

HOLD = """
import sys, time
from semask.devices import locks
locks._PAUSE = 0.05
taken = locks.take(
    "gpu", sys.argv[2].split(","), int(sys.argv[1]), lambda: print("waiting", flush=True)
)
print("took", *taken, flush=True)
sys.stdin.readline()
"""
# what the launcher does: take devices, then become another program
BECOME = """
import os, sys
from semask.devices import locks
locks.take("gpu", ["0"], 1)
os.execv(sys.executable, [sys.executable, "-c", "print('took', flush=True); input()"])
"""
Holder = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Holder]:
    started = []

    def start(
        count: int, ids: str, program: str = HOLD, **variables: str
    ) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(count), ids],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8",
            env={**os.environ, "TMPDIR": str(tmp_path), **variables},
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_two_runs_never_share_a_device(hold: Holder) -> None:
    assert said(hold(2, "0,1,2,3")) == "took 0 1"
    assert said(hold(1, "0,1,2,3")) == "took 2"
    assert said(hold(1, "1,3")) == "took 3"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_waits_until_another_ends_however_it_ends(hold: Holder, how: int) -> None:
    first = hold(1, "0,1")
    assert said(first) == "took 0"
    second = hold(2, "0,1")
    assert said(second) == "waiting"
    # while it waits it holds nothing
    third = hold(1, "1")
    given_up = threading.Timer(60, third.kill)
    given_up.start()
    line = said(third)
    # it may have come while the second looked
    assert (said(third) if line == "waiting" else line) == "took 1"
    given_up.cancel()
    first.send_signal(how)
    third.send_signal(how)
    assert said(second) == "took 0 1"


def test_the_program_that_a_process_becomes_holds_its_devices(hold: Holder) -> None:
    first = hold(1, "0", BECOME)
    assert said(first) == "took"
    second = hold(1, "0")
    assert said(second) == "waiting"
    time.sleep(0.3)
    assert second.poll() is None
    first.kill()
    assert said(second) == "took 0"


def test_jobs_of_a_scheduler_count_their_own_devices(hold: Holder) -> None:
    assert said(hold(1, "0", SLURM_JOB_ID="17")) == "took 0"
    assert said(hold(1, "0", SLURM_JOB_ID="18")) == "took 0"
    assert said(hold(1, "0", SLURM_JOB_ID="18")) == "waiting"


def test_speeds_are_measured_one_after_the_other(hold: Holder, tmp_path: Path) -> None:
    """Whatever the device: they share the machine's cores."""
    alone = """
import os, sys
from semask.devices import conditions, locks
locks._PAUSE = 0.05
os.umask(0o077)
if os.getuid() == 0 and sys.argv[2]:
    os.setuid(4242)
conditions.be_alone()
print("alone", flush=True)
input()
"""
    # as /tmp is, where the kernel lets nobody create what is another user's
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o1777)
        first = hold(0, "", alone, SEMASK_LOCKS=folder)
        assert said(first) == "alone"
        # another TMPDIR, and another user where the tests are root's
        elsewhere = {"TMPDIR": str(tmp_path / "elsewhere"), "SEMASK_LOCKS": folder}
        second = hold(0, "another", alone, **elsewhere)
        assert said(second) == "waiting for another run that measures speed here"
        # another job of a scheduler has cores of its own
        assert said(hold(0, "", alone, SEMASK_LOCKS=folder, SLURM_JOB_ID="17")) == "alone"
        assert second.poll() is None
        first.kill()
        assert said(second) == "alone"


def test_where_no_folder_is_everybodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
    monkeypatch.setattr(locks, "_EVERYBODYS", (str(tmp_path / "none"), str(tmp_path / "a")))
    monkeypatch.delenv(locks.LOCKS)
    taken = []
    monkeypatch.setattr(locks, "take", lambda *of: taken.append(of[-1]))
    conditions.be_alone()
    assert capsys.readouterr().out.startswith("runs that measure speed here with another TMPDIR")
    (tmp_path / "a").chmod(0o1777)
    conditions.be_alone()
    monkeypatch.setenv(locks.LOCKS, str(tmp_path / "b"))
    conditions.be_alone()
    assert capsys.readouterr().out == ""
    assert taken == [None, tmp_path / "a", tmp_path / "b"]


def test_names_that_are_no_numbers(hold: Holder) -> None:
    name = "GPU-8932f937-d72c/../x"
    assert said(hold(1, name)) == f"took {name}"
    assert said(hold(1, name)) == "waiting"


def test_a_folder_that_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder for all, anybody may have made it before."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"semask-devices-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="not a folder of this user"):
        locks.take("gpu", ["0"], 1)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_file_in_the_place_of_our_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"semask-devices-{os.getuid()}").touch()
    with pytest.raises(InputError, match="not a folder of this user"):
        locks.take("gpu", ["0"], 1)
