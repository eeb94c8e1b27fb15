"""Less time to start and to end: importing torch takes longer than what many scripts then do."""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def imports() -> Iterator[None]:
    """Context for imports of torch and what needs it, in which no garbage is looked for.

    Imports make objects by the hundred thousand, and next to no garbage: looking through them again
    and again is a quarter of the time. What was made is not looked through later either, which
    spares a training loop pauses of half a second.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def end_quickly() -> None:
    """Have the interpreter not look for garbage when it ends, two seconds of work with torch.

    What is to be done at the end is done: files are flushed, and what was registered is called.
    """
    atexit.register(gc.freeze)
