"""What the user's language must not decide: whether printing ends a program, how text is read.

Python prints, and opens text files that are not said to be UTF-8, in the encoding of the language
that LC_ALL, LC_CTYPE or LANG name.
"""

import io
import locale
import os
import sys
from contextlib import suppress
from pathlib import Path


def print_on() -> None:
    """Have a character that the terminal's language lacks printed as its number.

    Python does so for standard error; of standard output the character would end the program.
    """
    for stream in (sys.stdout, sys.stderr):
        # surrogateescape, of the languages C and POSIX, lets only names of files through
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")


def read_utf8() -> None:
    """Have libraries that say no encoding open text files as UTF-8 in this process.

    What it prints and how it calls files stays as the language says, and so do its children, which
    are given the names of files in the same bytes.
    """
    # as Python calls it where it looks for one itself (PEP 538)
    for name in ("C.UTF-8", "C.utf8", "UTF-8"):
        with suppress(locale.Error):
            locale.setlocale(locale.LC_CTYPE, name)
            return


def as_utf8_takes_it(path: Path) -> Path:
    """A name of a file or folder that is there, for libraries that take all names for UTF-8.

    Where the user's language has another encoding, they would look for another name. The one that
    they are given instead holds for as long as this process lives.
    """
    if str(path).isascii() or sys.getfilesystemencoding() == "utf-8":
        return path
    return Path(f"/proc/self/fd/{os.open(path, os.O_RDONLY)}")
