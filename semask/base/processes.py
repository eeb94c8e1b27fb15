"""Other processes: work that several do side by side, and what a program prints."""

import math
import multiprocessing
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_AT_A_TIME = 4  # items that a process is given


def side_by_side(
    work: Callable[[_Item], _Result], items: Sequence[_Item], processes: int
) -> list[_Result]:
    """What `work`, which can be pickled, makes of each item; by this process where that will do.

    BrokenProcessPool where a process was killed.
    """
    processes = min(processes, math.ceil(len(items) / _AT_A_TIME))
    if processes <= 1:
        return [work(item) for item in items]
    # spawned, not forked: the caller may hold threads
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        return list(pool.map(work, items, chunksize=_AT_A_TIME))


def output_of(*command: str, seconds: float = 30, **others: Any) -> str:
    """What a program prints; OSError or SubprocessError where it fails or takes too long.

    `others` are what `subprocess.run` takes.
    """
    return subprocess.run(
        list(command), capture_output=True, encoding="utf-8", errors="replace", timeout=seconds,
        check=True, **others,
    ).stdout  # fmt: skip
