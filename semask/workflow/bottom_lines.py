"""Lines that stay at the bottom of a terminal while others write to it.

The terminal is told to scroll only what is above them (DECSTBM, as apt does for its progress), so
whatever any process writes stays whole. Each change goes out in one write, which leaves the cursor
where it was: also one that comes between two halves of another process's line.
"""

import os
from collections.abc import Sequence
from typing import NamedTuple

_SAVE, _RESTORE = "\x1b7", "\x1b8"
_ONE_DOWN = "\x1bD"  # unlike a newline, it leaves the column
_SCROLL_ALL = "\x1b[r"
_CLEAR_BELOW, _CLEAR_LINE = "\x1b[J", "\x1b[2K"
_WRAP_OFF, _WRAP_ON = "\x1b[?7l", "\x1b[?7h"
_REVERSE, _PLAIN = "\x1b[7m", "\x1b[0m"


class Reserved(NamedTuple):
    """How many lines are reserved at the bottom of a terminal, and its size then."""

    height: int
    size: os.terminal_size


def draw(lines: Sequence[str], size: os.terminal_size, before: Reserved | None) -> str:
    """What makes a terminal, of a size, show lines at its bottom, the first one in reverse.

    They are fewer than it has; `before` is what is reserved now.
    """
    out = ""
    if before is not None and before.size != size:
        # terminals keep what they like of the lines when they are resized: all below is erased
        out += release()
        before = None
    height, held = len(lines), 0 if before is None else before.height
    if height > held:
        more = height - held
        out += f"{_ONE_DOWN * more}\x1b[{more}A"
    out += _SAVE
    if height != held:
        out += f"\x1b[1;{size.lines - height}r"
    for line in range(size.lines - held + 1, size.lines - height + 1):
        out += f"\x1b[{line};1H{_CLEAR_LINE}"
    out += _WRAP_OFF
    for number, text in enumerate(lines):
        style = _REVERSE if number == 0 else _PLAIN
        cut = "".join(c if c.isprintable() else "?" for c in text[: size.columns - 1])
        out += f"\x1b[{size.lines - height + 1 + number};1H{_PLAIN}{_CLEAR_LINE}{style}{cut}"
    return f"{out}{_PLAIN}{_WRAP_ON}{_RESTORE}"


def release() -> str:
    """What makes a terminal scroll all of its lines again and erases what was reserved."""
    return f"{_SAVE}{_SCROLL_ALL}{_RESTORE}{_CLEAR_BELOW}"
