"""How a process ends with others: asked to leave by a signal, or together with its parent."""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from semask.base.errors import Interrupted

# SIGUSR1 is what schedulers are told to send ahead of a time limit
LEAVE = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP)
"""Signals that ask a run to leave."""

JOB = "SEMASK_JOB"
"""Environment variable of a workflow's jobs, its process id: they end together with it.

The workflow shows how far they are.
"""

_GRACE = 30  # seconds

_asked: str | None = None
_deferred = False


def listen() -> None:
    """From now on a signal to leave raises Interrupted, or is noted within `deferred`."""
    for number in LEAVE:
        signal.signal(number, _note)


def asked_to_leave() -> str | None:
    """Name of the first signal to leave that has come; None for none."""
    return _asked


@contextmanager
def deferred() -> Iterator[None]:
    """Context in which a signal to leave is only noted: the caller looks when it may stop.

    So it stays where an error ends it: signals that come meanwhile are not to take its place.
    """
    global _deferred
    _deferred = True
    yield
    _deferred = False


@contextmanager
def at_once() -> Iterator[None]:
    """Context within `deferred` that a signal to leave ends, also one that has come before."""
    global _deferred
    _deferred = False
    try:
        if _asked is not None:
            raise Interrupted(_asked)
        yield
    finally:
        _deferred = True


def only_note() -> None:
    """From now on no signal interrupts Python code, but those that end a process by default.

    For a process that is ending with a message already.
    """
    global _deferred
    _deferred = True
    for number in LEAVE:
        if callable(signal.getsignal(number)):
            signal.signal(number, _note)


def _note(number: int, frame: FrameType | None) -> None:
    global _asked
    _asked = _asked or signal.Signals(number).name
    if not _deferred:
        raise Interrupted(_asked)


def leave_to_parent() -> None:
    """In a helper process: leave signals to leave to the parent, and end with it.

    A terminal's Ctrl-C and a scheduler's warning reach every process; a helper that left first
    would be missed by its parent before that has kept what it has. SIGTERM, with which a parent
    ends its helpers, ends this one after half a minute.
    """
    for number in LEAVE:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_GRACE))
    end_with_parent()


def end_with_parent() -> None:
    """Have this process killed when its parent is gone, which may be killed without a chance to.

    It would go on otherwise: on devices that are free by their locks, and writing files that a
    later process writes, too. On Linux only.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    set_death_signal = 1
    ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)
    if os.getppid() != parent:  # gone in between
        os._exit(1)
