"""How every script ends: a wrong input gives one line, a fault of the program its traceback."""

import argparse
import errno
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import psutil

from semask.base import language, startup
from semask.base.errors import (
    INTERRUPTED,
    GivenUpError,
    InputError,
    Interrupted,
    LostLoaderError,
    report,
    report_to,
)
from semask.base.signals import JOB, asked_to_leave, end_with_parent, only_note
from semask.devices.launched import is_one_of_several
from semask.workflow.options import SHARED

# what the surroundings refuse, and what to do about it
_REFUSED = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room and run again"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "check the permissions"),
    **dict.fromkeys((errno.EIO, errno.ESTALE), "check the disk, or the network that it is on"),
    errno.ENAMETOOLONG: "use shorter names",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}
# how libraries say that another process is gone
_LOST = re.compile(r" by peer|Broken pipe|gloo/|NCCL|HCCL")
# seconds that a process of several waits with its message for the one that may have failed first
_AFTER_THE_FIRST = 5.0
_AFTER_ANOTHER = 10.0


class _Parser(argparse.ArgumentParser):
    """Gives one line for wrong arguments, in the error log if there is one."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see python -m {self.prog} --help")


def parser(description: str | None, *shared: str) -> argparse.ArgumentParser:
    """Argument parser with the option of all scripts, and those of several that this one has."""
    made = _Parser(
        prog=f"workflow_scripts.{Path(sys.argv[0]).stem}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--error-log", type=Path, help="file for an error message, in place of standard error"
    )
    for option in shared:
        made.add_argument(option, **SHARED[option])
    return made


def run(main: Callable[[], None]) -> None:
    """Run a script's main function and exit with 0, or with a message and another status.

    The status is 75 (`semask.base.errors.INTERRUPTED`) where the script was asked to leave, 130
    after Ctrl-C where it could not keep anything, and 1 for all else.
    """
    startup.end_quickly()
    language.print_on()
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--error-log", type=Path)
    log: Path | None = shared.parse_known_args()[0].error_log
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
    # with a log, snakemake shows it when the rule has failed: once is enough
    report_to(log)
    several = is_one_of_several()
    if several or JOB in os.environ:
        end_with_parent()
        _end_without_workflow()
    fault: BaseException
    try:
        main()
        return
    except (Exception, KeyboardInterrupt) as raised:
        fault = raised
    only_note()
    if several:
        _wait_for_the_first(fault)
    report(_message(fault))
    if isinstance(fault, Interrupted):
        _leave(INTERRUPTED)
    _leave(130 if isinstance(fault, KeyboardInterrupt) else 1)


def _end_without_workflow() -> None:
    """End where the workflow was killed before this process had asked to end with it."""
    workflow = os.environ.get(JOB, "")
    if not workflow.isdigit() or os.getppid() == int(workflow):
        return
    try:
        gone = psutil.Process(int(workflow)).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        gone = True
    if gone:
        _leave(1)


def _leave(status: int) -> NoReturn:
    """End at once: at a usual exit, destructors may wait for processes that will not answer.

    Those are other processes of the run that are gone, and helpers that wait for their parent.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _message(fault: BaseException) -> str:
    lines = str(fault).splitlines()
    if isinstance(fault, GivenUpError):
        return "".join(f"given up at the first try: {line}\n" for line in lines)
    if isinstance(fault, (InputError, LostLoaderError)):
        return "".join(f"error: {line}\n" for line in lines)
    if isinstance(fault, Interrupted):
        return f"interrupted: {fault}; run again to go on\n"
    if isinstance(fault, KeyboardInterrupt):
        return "interrupted\n"
    if isinstance(fault, OSError) and fault.errno in _REFUSED:
        where = f"{fault.filename}: " if fault.filename else ""
        return f"error: {where}{fault.strerror}; {_REFUSED[fault.errno]}\n"
    if type(fault).__name__ == "OutOfMemoryError":  # torch's, which is not imported here
        return (
            f"error: {str(fault).splitlines()[0]}; set training.batch.micro_batch, or "
            "execution.checkpointing, or use a device with more memory\n"
        )
    return "".join(traceback.format_exception(fault))


def _wait_for_the_first(fault: BaseException) -> None:
    """Have the one of several processes that failed first be heard, and alone.

    When it has ended, torchrun ends the others: those that only lost it wait for that.
    """
    lost, left = _LOST.search(str(fault)), isinstance(fault, Interrupted)
    if (lost and asked_to_leave()) or (left and _another_has_ended()):
        _leave(1)  # it is torchrun that has asked
    if os.environ["RANK"] == "0" and not lost:
        return
    if left:
        _wait_until_it_is_said()
        return
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(_AFTER_ANOTHER if lost else _AFTER_THE_FIRST)


def _wait_until_it_is_said() -> None:
    """Leave when the first process has, which says so; returns where nobody says it.

    Signals that come again meanwhile are only noted.
    """
    if int(os.environ["RANK"]) >= int(os.environ["LOCAL_WORLD_SIZE"]):
        _leave(INTERRUPTED)  # the first one is on another node
    # not all of them at once: it may have been told later, and not at all
    until = time.monotonic() + _AFTER_ANOTHER + int(os.environ["LOCAL_RANK"])
    while time.monotonic() < until:
        if _another_has_ended():
            _leave(INTERRUPTED)
        time.sleep(0.2)


def _another_has_ended() -> bool:
    """Whether the agent that has started this process has fewer than it has started."""
    started = int(os.environ["LOCAL_WORLD_SIZE"])
    return len(psutil.Process(os.getppid()).children()) < started
