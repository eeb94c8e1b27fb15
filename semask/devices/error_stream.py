"""Standard error, as any code in the process writes it, libraries included."""

import os
import subprocess
import sys
import tempfile
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
            os.dup2(shown, 2)
            os.close(shown)
            sys.stderr.close()
            sys.stderr = python
            try:
                tee.wait(timeout=5)
            except subprocess.TimeoutExpired:  # a process started in between holds its end
                tee.kill()
                tee.wait()
            last_words.append(path.read_text("utf-8", "replace"))
