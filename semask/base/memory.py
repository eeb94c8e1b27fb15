"""Memory that is free within the process, returned to the system."""

import ctypes
from contextlib import suppress


def trim() -> None:
    """Have the C library return what is free between blocks that are used.

    What thousands of tensors of all sizes leave behind otherwise adds to the next peak: gigabytes
    after a pass whose inner values were kept. Where there is no such function, nothing happens.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
