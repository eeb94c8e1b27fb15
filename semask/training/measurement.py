"""FPS: training throughput from recorded iteration times. docs/protocol.md defines the figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def skipped_iterations(iterations: int, warmup_iterations: int) -> int:
    """How many iterations come before the steady window; see `speed`."""
    return warmup_iterations if warmup_iterations < iterations else min(1, iterations - 1)


def speed(
    seconds: Sequence[float],
    data_seconds: Sequence[float],
    *,
    communication: Mapping[int, float] | None,
    global_batch: int,
    warmup_iterations: int,
    log_window: tuple[int, int] | None,
) -> dict[str, Any]:
    """Throughput figures of a run.

    Args:
        seconds: of each iteration, data loading included, evaluation left out.
        data_seconds: the part of them spent waiting for the batch.
        communication: of some iterations, counted from 1, the seconds of communication that no
            computing hides; None where there is none, with one process.
        global_batch: images per iteration over all processes.
        warmup_iterations: left out at the start; of a run that is no longer only the first one is.
        log_window: (end, length) in iterations of the log window that the seed reads its FPS from.

    Returns:
        fps: images / seconds over the steady window, what follows the warm-up.
        fps_median, fps_p10, fps_p90: of the single iterations' images per second.
        data_wait_share: share of the window's time spent waiting for data, 0 … 1.
        communication_share: share of communication that no computing hides in the time of those
            iterations of the window of which it is known, 0 … 1; None if of none.
        fps_log_window: batch / mean iteration time over the log window; None if there is none.
        log_window: [end, length] as it was asked for; None for none.
        iterations_measured, warmup_iterations: sizes of the window and of what it leaves out.
    """
    skipped = skipped_iterations(len(seconds), warmup_iterations)
    steady = np.asarray(seconds[skipped:])
    waiting = np.asarray(data_seconds[skipped:])
    per_iteration = global_batch / steady
    p10, median, p90 = np.percentile(per_iteration, [10, 50, 90])
    known = {n: took for n, took in (communication or {}).items() if skipped < n <= len(seconds)}
    communicating = 0.0 if communication is None else None
    if known:
        communicating = float(min(1.0, sum(known.values()) / sum(seconds[n - 1] for n in known)))
    fps_log_window = None
    if log_window is not None and log_window[0] <= len(seconds):
        end, length = log_window
        fps_log_window = global_batch / float(np.mean(seconds[end - length : end]))
    return {
        "fps": global_batch * len(steady) / float(steady.sum()),
        "fps_median": float(median),
        "fps_p10": float(p10),
        "fps_p90": float(p90),
        "data_wait_share": float(min(1.0, waiting.sum() / steady.sum())),
        "communication_share": communicating,
        "fps_log_window": fps_log_window,
        "log_window": None if log_window is None else list(log_window),
        "iterations_measured": len(steady),
        "warmup_iterations": skipped,
    }
