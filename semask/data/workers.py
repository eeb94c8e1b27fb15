"""torch's loader with processes of its own that load: how they begin, fail and end."""

import multiprocessing.queues
import multiprocessing.util
import os
import re
import signal
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any, NoReturn, TypeVar

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from semask.base import signals
from semask.base.errors import InputError, LostLoaderError, report

_Item = TypeVar("_Item")

_LONGEST_SOCKET = 107  # bytes of a name, on Linux
_SOCKET = len("/pymp-12345678/listener-12345678")  # how multiprocessing calls them
_SHORT = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108

# three lines from each loader of each process; training says it once, in a line
warnings.filterwarnings("ignore", message="This DataLoader will create")

_started = 0


def started() -> int:
    """How many processes the loader that was begun last has started."""
    return _started


def loaded(samples: Dataset[_Item], *, workers: int, ahead: int, **options: Any) -> Iterator[_Item]:
    """What a loader yields; a fault in a worker arrives as the one line that it was there.

    `workers` processes load (0: this one), `ahead` items each; options are DataLoader's.
    LostLoaderError where one of them is gone; InputError also where no folder has a name that is
    short enough for sockets.
    """
    if workers:
        _shorten_sockets()
    loader = DataLoader(
        samples,
        num_workers=workers,
        prefetch_factor=ahead if workers else None,
        worker_init_fn=_be_a_worker,
        # Nothing here uses the seeds that it draws for its workers. By default it draws them from
        # torch's global generator: a run that goes on makes one loader more than an undisturbed
        # one, so its dropout would draw other numbers.
        generator=torch.Generator(),
        **options,
    )
    try:
        yield from _begun(loader)
        return
    except (RuntimeError, ConnectionError, EOFError) as fault:
        if not (workers and _worker_is_gone(fault)):
            raise
        # from within, so that its traceback keeps the loader: its end may wait for a lock that the
        # worker held
        raise LostLoaderError from fault
    except InputError as fault:
        # DataLoader raises it again with the worker's traceback as its message
        message = str(fault).rpartition("InputError: ")[2].strip()
        # torch leaves it in a circle, which would keep the loader, and so the workers, alive
        fault.__traceback__ = None
    # not from within: the first one would be kept as its context
    raise InputError(message)


def _shorten_sockets() -> None:
    """Have the sockets by which workers hand over batches lie in a folder with a short name.

    Where the name of TMPDIR is too long for them, that fails in a thread of a worker, and what
    waits for the batch never hears of it.
    """
    if len(os.fsencode(tempfile.gettempdir())) + _SOCKET <= _LONGEST_SOCKET:
        return
    short = next((x for x in _SHORT if os.access(x, os.W_OK | os.X_OK)), None)
    if short is None:
        raise InputError(
            f"TMPDIR: {tempfile.gettempdir()}: too long a name for sockets, and none of "
            f"{', '.join(_SHORT)} can be written to; set it to a folder with a shorter one"
        )
    before, tempfile.tempdir = tempfile.tempdir, short
    try:
        # made once, for this process and all that it starts, and removed at its end
        multiprocessing.util.get_temp_dir()
    finally:
        tempfile.tempdir = before


def loaded_singly(samples: Dataset[_Item], **options: Any) -> Iterator[_Item]:
    """What `loaded` yields, sample by sample and each as it is."""
    return loaded(samples, batch_size=None, collate_fn=_as_it_is, **options)


def _as_it_is(sample: _Item) -> _Item:
    return sample


def _begun(loader: DataLoader[_Item]) -> Iterator[_Item]:
    """Start the workers, and leave it to the next batch to find one gone.

    torch sets a handler that raises for each lost worker at once, wherever the program is: while a
    checkpoint is written, or a second time while the first loss is told.
    """
    global _started
    before, others = signal.getsignal(signal.SIGCHLD), {*multiprocessing.active_children()}
    batches = iter(loader)
    signal.signal(signal.SIGCHLD, before)
    _started = len({*multiprocessing.active_children()} - others)
    return batches


def _worker_is_gone(fault: Exception) -> bool:
    if isinstance(fault, RuntimeError):
        # how torch says so, also of the thread that takes from the workers
        return bool(re.match(r"DataLoader worker \(pid|Pin memory thread exited", str(fault)))
    # a lost connection: to a worker, unless it was raised in one
    return "in DataLoader worker process" not in str(fault)


def _be_a_worker(worker: int) -> None:
    signals.leave_to_parent()
    # every worker is a process of its own; OpenCV's thread pool would only oversubscribe the cores
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    # called in the thread that hands batches over: by default it only prints the fault, and whoever
    # waits for the batch never hears of it
    queues: Any = multiprocessing.queues.Queue
    queues._on_queue_feeder_error = staticmethod(_leave)


def _leave(fault: BaseException, batch: object) -> NoReturn:
    what = f"{type(fault).__name__}: {' '.join(str(fault).split())}"
    report(
        f"error: a process that loads data cannot hand over a batch ({what}); if /dev/shm is full, "
        "give it more (containers: --shm-size), or use fewer loader.workers\n"
    )
    os._exit(1)
