"""What memory this process takes, and what of it is free within, returned to the system."""

import ctypes
import resource
from contextlib import suppress
from pathlib import Path


def most() -> int:
    """Most bytes that this program had in memory so far."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text("utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    # counts, on Linux, what the program that started this one had in memory, too
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def trim() -> None:
    """Have the C library return what is free between blocks that are used.

    What thousands of tensors of all sizes leave behind otherwise adds to the next peak: gigabytes
    after a pass whose inner values were kept. Where there is no such function, nothing happens.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
