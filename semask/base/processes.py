"""Work that is done by several processes side by side."""

import math
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

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
