"""Errors that need no traceback, and where a script's last words go."""

import sys
from collections.abc import Sequence
from pathlib import Path

SHOWN = 5
"""How many faults of one kind are told; of the rest it is told how many there are."""

INTERRUPTED = 75
"""Exit status of a run that left on request or lost a process, and goes on when it is run again.

EX_TEMPFAIL of sysexits.h.
"""

_log: Path | None = None


class InputError(Exception):
    """Wrong input from the user: a config value, a file, a device that is not there.

    The message is a line for each fault: which file or key, what is wrong with it, and what to do.
    Command-line scripts print it without a traceback and exit with a non-zero status.
    """


def faults(lines: Sequence[str], of_the_rest: str = "") -> InputError:
    """An error of several faults, one line each: the first ones, and how many more there are.

    `of_the_rest` is said after "N more cannot be used": where they are listed, for example.
    """
    rest = len(lines) - SHOWN
    more = [f"{rest} more cannot be used{of_the_rest}"] if rest > 0 else []
    return InputError("\n".join([*lines[:SHOWN], *more]))


class BusyError(InputError):
    """What is needed is in use by another process; later it may not be."""


class GivenUpError(InputError):
    """An earlier attempt failed of what another one cannot cure; the message says of what."""


class DivergenceError(InputError):
    """The numbers of a training run are none any more; trying again changes nothing."""


class LostLoaderError(Exception):
    """A process that loads data was ended from outside; the same run may well succeed again."""

    def __init__(self) -> None:
        super().__init__(
            "a process that loads data was ended from outside, perhaps because memory ran out "
            "(see dmesg); run again, with fewer loader.workers if need be"
        )


class Interrupted(Exception):  # noqa: N818  # no error: the run was asked to leave
    """A run was asked to leave and has kept what it had; scripts exit with `INTERRUPTED`."""


def report_to(log: Path | None) -> None:
    """Have `report` append to a file; None for standard error."""
    global _log
    _log = log


def report(message: str) -> None:
    """Write a message, whole lines, where the errors of this script go.

    A name of a file in it need not be text in the user's language.
    """
    if _log is None:
        sys.stderr.write(message)
        return
    try:
        with open(_log, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(message)
    except OSError:  # on a full disk, for example, which may be what the message is about
        sys.stderr.write(message)
