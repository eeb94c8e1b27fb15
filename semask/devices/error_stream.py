"""Standard error, as any code in the process writes it, libraries included."""

import fcntl
import os
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def copied() -> Iterator[Callable[[], str]]:
    """Keep a copy of what libraries write to standard error, which still gets where it went.

    The copy is made by a process of its own, so that the last words of a crash are shown, too.
    Python's own messages are not in it.

    Yields a function that gives what was written so far; after the context, all of it.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stderr"
        path.touch()
        last_words: list[str] = []
        python, shown = sys.stderr, os.dup(2)
        # a session of its own: Ctrl-C is not for it
        tee = subprocess.Popen(
            ["tee", path], stdin=subprocess.PIPE, stdout=shown, start_new_session=True
        )
        assert tee.stdin is not None
        # progress bars look whether Python's standard error is a terminal
        sys.stderr = os.fdopen(
            os.dup(shown), "w", buffering=1, encoding=python.encoding, errors=python.errors
        )
        os.dup2(tee.stdin.fileno(), 2)
        tee.stdin.close()
        try:
            yield lambda: last_words[0] if last_words else path.read_text("utf-8", "replace")
        finally:
            _wait_until_read(2, tee)
            os.dup2(shown, 2)
            os.close(shown)
            sys.stderr.close()
            sys.stderr = python
            try:
                tee.wait(timeout=1)
            except subprocess.TimeoutExpired:
                # a process started in between holds its end; what this one wrote has been read
                tee.kill()
                tee.wait()
            last_words.append(path.read_text("utf-8", "replace"))


def _wait_until_read(pipe: int, reader: subprocess.Popen[bytes]) -> None:
    """Wait until nothing is left in a pipe, for a few seconds at most."""
    deadline = time.monotonic() + 5
    while struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))) != (0,):
        if reader.poll() is not None or time.monotonic() > deadline:
            return
        time.sleep(0.01)
