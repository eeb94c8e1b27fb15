"""One lock per device, so that runs on one machine never share one.

A lock is a file in a folder of this user, or in one of all users, and, under a scheduler, of its
job: each job counts its devices from 0, so the same number means another device in another job.
"""

import fcntl
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from semask.base.errors import InputError

_JOB_VARIABLES = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")
_PAUSE = 1.0  # seconds between two looks for free devices
# in this order everywhere: who looks elsewhere sees nobody
_EVERYBODYS = ("/tmp", "/run/lock")  # noqa: S108
LOCKS = "SEMASK_LOCKS"
"""Environment variable: the folder of all users' locks, say one that containers share."""


def everybodys() -> Path | None:
    """The folder in which all users of this machine may make locks; None if it has none."""
    named = os.environ.get(LOCKS)
    for place in [named] if named else _EVERYBODYS:
        with suppress(OSError):
            mode = os.stat(place).st_mode
            if (named or mode & stat.S_IWOTH) and os.access(place, os.W_OK | os.X_OK):
                return Path(place)
    return None


def take(
    device: str,
    ids: Sequence[str],
    count: int,
    waiting: Callable[[], None] = lambda: None,
    everybody: Path | None = None,
) -> list[str]:
    """Take `count` of the devices `ids`, of which there are so many, waiting until they are free.

    The locks are held by open files that programs started with exec inherit: they last until this
    process, or the program that it has become, ends, however it ends. They are named by `device`,
    the kind, and by the `ids`, which stand in the order of preference, as do those that are given
    back. `waiting` is called once if there is something to wait for. `everybody` is the folder of
    all users' locks; None for those of this user alone.

    Raises:
        InputError: somebody else made the folder of this user's locks.
        OSError: a lock cannot be looked at.
    """
    if everybody is None:
        folder, prefix = _own() / _job(), device
        folder.mkdir(exist_ok=True)
    else:
        folder, prefix = everybody, f"semask-{_job()}-{device}"
    told = False
    while True:
        held: dict[str, int] = {}
        for name in ids:
            if len(held) < count:
                file = _lock(folder / f"{prefix}-{re.sub(r'[^A-Za-z0-9-]', '_', name)}.lock")
                if file is not None:
                    held[name] = file
        if len(held) == count:
            for file in held.values():
                os.set_inheritable(file, True)
            return list(held)
        # all or none: two runs that each hold a part of what they need would wait for ever
        for file in held.values():
            os.close(file)
        if not told:
            waiting()
            told = True
        time.sleep(_PAUSE)


def _job() -> str:
    job = next((os.environ[name] for name in _JOB_VARIABLES if os.environ.get(name)), "machine")
    # a machine may be several of Slurm's nodes
    node = os.environ.get("SLURMD_NODENAME", "")
    return re.sub(r"[^A-Za-z0-9-]", "_", f"{job}-{node}" if node else job)


def _own() -> Path:
    own = Path(tempfile.gettempdir()) / f"semask-devices-{os.getuid()}"
    with suppress(FileExistsError):
        own.mkdir(mode=0o700)
    found = own.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise InputError(
            f"{own}: is not a folder of this user, whose locks of devices are kept there; remove "
            "it, or set TMPDIR to a folder of your own"
        )
    return own


def _lock(path: Path) -> int | None:
    """The locked file's descriptor; None where another process holds the lock."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except PermissionError:
        # another user's, which is enough to read; in a folder for all it may not be "created" again
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if os.fstat(file).st_uid == os.getuid():
            os.fchmod(file, 0o644)  # whatever the umask is
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file
