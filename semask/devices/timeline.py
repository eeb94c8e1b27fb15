"""Times of a device's work."""

import time
from itertools import pairwise
from typing import Any

import torch


def moment(device: torch.device) -> Any:
    """Now in the device's own order of work: an event in its stream, on a CPU the clock."""
    if device.type == "cpu":
        return time.perf_counter()
    event = torch.Event(device, enable_timing=True)
    event.record()
    return event


class Timeline:
    """Times of marks in the device's own order of work, without stopping it at each mark.

    On an accelerator a mark is an event in the stream and the times are read later; on a CPU,
    where the work is done when the call returns, it is the clock.
    """

    def __init__(self, device: torch.device):
        self._device = device
        self._marks: list[Any] = []

    def mark(self) -> None:
        self._marks.append(moment(self._device))

    def intervals(self) -> list[float]:
        """Seconds between successive marks so far; the last mark starts the next interval."""
        marks, self._marks = self._marks, self._marks[-1:]
        if self._device.type == "cpu":
            return [b - a for a, b in pairwise(marks)]
        if marks:
            marks[-1].synchronize()
        return [a.elapsed_time(b) / 1000 for a, b in pairwise(marks)]

    def restart(self) -> None:
        """Forget the marks and mark now: what happened since the last one is not counted."""
        self._marks = []
        self.mark()
