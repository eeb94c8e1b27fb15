"""What a Snakemake does that is warned, and one that comes after a killed one.

A job of a local Snakemake ends with it; one that was sent to Slurm does not.

Snakemake's lock is a folder of files: it outlives a Snakemake that was killed, and the next one
refuses to start until somebody calls `--unlock`. Beside it each Snakemake holds a lock of the
operating system, which goes with the process: where nobody holds one, Snakemake's is a left-over.
"""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

_NAME = "semask.lock"
# after which Snakemake starts no more jobs and waits for those that run
_WAIT_FOR_JOBS = signal.SIGTERM
# seconds between two looks at Slurm's queue, and how often it may fail to answer
_BETWEEN_LOOKS = 5.0
_LOOKS = 5
_held: list[int] = []
_alone = False


def heed_warnings() -> None:
    """Have Snakemake outlive a scheduler's warning, and leave with the jobs that obey it.

    SIGUSR1 may go to the whole process group. It would end Snakemake at once, and its jobs with it
    before they have kept anything.
    """
    if threading.current_thread() is threading.main_thread():  # else Python allows no handler
        signal.signal(signal.SIGUSR1, lambda *_: os.kill(os.getpid(), _WAIT_FOR_JOBS))


def take(folder: Path, only_looks: bool = False) -> None:
    """Say that a Snakemake works in this directory, until this process ends, however it ends.

    If no other one does, what a killed one left of Snakemake's lock is removed. The lock of another
    machine is left alone: over a network the operating system's may not be seen. The folder is
    `.snakemake`; what only looks holds nothing for which others would think it at work.
    """
    folder.mkdir(exist_ok=True)
    # not inherited by jobs, which would hold it on
    file = os.open(folder / _NAME, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _take(file, folder)
    finally:
        if only_looks:
            os.close(file)
        else:
            _held.append(file)


def _take(file: int, folder: Path) -> None:
    here = socket.gethostname().encode()
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another one works here, or the file system has no locks
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_SH)
        return
    global _alone
    _alone = True
    if os.read(file, 1000) == here:
        for left in (folder / "locks").glob("*.lock"):
            left.unlink(missing_ok=True)
    os.ftruncate(file, 0)
    os.pwrite(file, here, 0)
    fcntl.flock(file, fcntl.LOCK_SH)


def wait_for_jobs_left() -> None:
    """Wait for the Slurm jobs that a killed Snakemake has left at work in this directory.

    Those that train write where this one's jobs would, and may have waited long for their devices:
    they are left to it. What they complete, this Snakemake's jobs find and only bring to its place.
    While another Snakemake works here, which may do so for other results, the jobs may be its own,
    and nobody waits. A signal to leave is obeyed.
    """
    if not _alone:
        return
    handlers = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGINT)}
    told: set[str] = set()
    while left := _jobs_left():
        if not told >= left.keys():
            told |= left.keys()
            jobs = ", ".join(f"{number} ({what})" for number, what in left.items())
            print(
                f"waiting for Slurm jobs that an earlier snakemake has left here: {jobs}; "
                f"end those that are not wanted with scancel {' '.join(left)}",
                file=sys.stderr,
                flush=True,
            )
        time.sleep(_BETWEEN_LOOKS)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _leave(*_: object) -> NoReturn:
    print("left; the jobs on Slurm go on, and the next snakemake waits for them", file=sys.stderr)
    sys.exit(1)


def _jobs_left() -> dict[str, str]:
    """What those jobs do, by their numbers."""
    command = ["squeue", "--me", "--noheader", "--format=%A|%k|%Z"]
    for _ in range(_LOOKS):
        with suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(command, capture_output=True, timeout=60, check=True)
            # names of folders are in it
            jobs = [line.split("|", 2) for line in os.fsdecode(done.stdout).splitlines()]
            # the executor's comment names the rule
            return {
                number: comment
                for number, comment, folder in jobs
                if comment.startswith("rule_") and Path(folder) == Path.cwd()
            }
        time.sleep(_BETWEEN_LOOKS)
    # the trainer's lock keeps a second one from doing harm
    print("squeue does not say whether jobs of an earlier snakemake run here", file=sys.stderr)
    return {}
