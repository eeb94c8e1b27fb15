"""Compiling ahead what later parts time, so that they find it in torch's cache."""

import argparse
import os
import sys
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

import psutil
import torch

from benchmarks import evaluation
from benchmarks.gpu.train import ours
from benchmarks.gpu.ways import COMPILED, Keep, Left, NotRunError, device_of, seconds_of
from benchmarks.pairing import one_line
from benchmarks.train_step import batch
from semask.base.signals import end_with_parent
from semask.model.compiling import graphs

_SCORING = "evaluation"
_SHARE = 5  # a way's kernels are compiled on one core in so many


def measure(arguments: argparse.Namespace, keep: Keep, left: Left) -> None:
    """Compiles each way in a process of its own, all at once, as most of it is work of one core.

    Keeps of each way `seconds` to its first step, and the second, where all is there, and what
    `graphs` gives; or its fault. Training's ways are those of the first batch.

    Raises:
        RuntimeError: a way cannot be compiled.
    """
    if arguments.quick:
        raise NotRunError("nothing is compiled with --quick")
    device_of(arguments)
    # torch would take all cores for each of the ways, and other parts run beside
    cores = psutil.cpu_count() or 1
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", str(max(1, cores // _SHARE)))
    failed = []
    # neither forked, since a device is in use, nor left behind
    context = get_context("spawn")
    names = [*COMPILED, _SCORING]
    with ProcessPoolExecutor(len(names), context, initializer=end_with_parent) as pool:
        futures: dict[Future[dict[str, Any]], str] = {
            pool.submit(_compile, name, arguments): name for name in names
        }
        for future in as_completed(futures):
            name = futures[future]
            try:
                keep(name, future.result())
            except Exception as fault:
                keep(name, {"fault": one_line(fault)})
                failed.append(f"{name}: {one_line(fault)}")
    if failed:
        raise RuntimeError("; ".join(failed))


def _compile(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    device = device_of(arguments)
    seconds: list[float] = []
    run = _scoring(device) if name == _SCORING else _step(name, arguments, device)
    for _ in range(2):
        seconds.append(seconds_of(run, device))
        print(f"{name}: {seconds[-1]:.1f} s, {graphs()}", file=sys.stderr, flush=True)
    return {"seconds": seconds, **graphs()}


def _step(name: str, arguments: argparse.Namespace, device: torch.device) -> Callable[[], Any]:
    return ours(COMPILED, arguments)[name](batch(arguments.batches[0], arguments.crop, device))


def _scoring(device: torch.device) -> Callable[[], Any]:
    return evaluation.ways(*evaluation.size_of(False), device)[evaluation.COMPILED]()
