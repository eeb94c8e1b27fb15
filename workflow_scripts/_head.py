"""What a Snakemake does that is warned, and one that comes after a killed one.

Snakemake's lock is a folder of files: it outlives a Snakemake that was killed, and the next one
refuses to start until somebody calls `--unlock`. Beside it each Snakemake holds a lock of the
operating system, which goes with the process: where nobody holds one, Snakemake's is a left-over.
"""

import fcntl
import os
import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path

_NAME = "semask.lock"
# after which Snakemake starts no more jobs and waits for those that run
_WAIT_FOR_JOBS = signal.SIGTERM
_held: list[int] = []


def heed_warnings() -> None:
    """Have Snakemake outlive a scheduler's warning, and leave with the jobs that obey it.

    SIGUSR1 may go to the whole process group. It would end Snakemake at once, and its jobs with it
    before they have kept anything.
    """
    if threading.current_thread() is threading.main_thread():  # else Python allows no handler
        signal.signal(signal.SIGUSR1, lambda *_: os.kill(os.getpid(), _WAIT_FOR_JOBS))


def take(folder: Path) -> None:
    """Say that a Snakemake works in this directory, until this process ends, however it ends.

    If no other one does, what a killed one left of Snakemake's lock is removed. The lock of another
    machine is left alone: over a network the operating system's may not be seen.

    Args:
        folder: `.snakemake`.
    """
    folder.mkdir(exist_ok=True)
    # not inherited by jobs, which would hold it on
    file = os.open(folder / _NAME, os.O_RDWR | os.O_CREAT, 0o666)
    _held.append(file)
    here = socket.gethostname().encode()
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another one works here, or the file system has no locks
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_SH)
        return
    if os.read(file, 1000) == here:
        for left in (folder / "locks").glob("*.lock"):
            left.unlink(missing_ok=True)
    os.ftruncate(file, 0)
    os.pwrite(file, here, 0)
    fcntl.flock(file, fcntl.LOCK_SH)
