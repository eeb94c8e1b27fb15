"""Training steps that are captured whole, as CUDA graphs, which the program itself does not do."""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks.gpu.train import Data, Table, ceilings, ours
from benchmarks.gpu.ways import COMPILED, RIVAL, WAYS, Keep, Left, NotRunError, Way, device_of
from benchmarks.train_step import InTraining, batch, in_training, original_step, take
from semask.devices import computing

_LEAST = 30  # seconds under which nothing is compiled any more


def measure(arguments: argparse.Namespace, keep: Keep, left: Left) -> None:
    """Forward and backward pass, loss and update as one graph; a part of its own.

    A capture that fails can leave the process unfit for more. What is drawn at random is new in
    each replay.

    Keeps `check` (see `_check`) and the rows `batch_N` of the first batch.
    """
    device = device_of(arguments)
    if device.type != "cuda":
        raise NotRunError(f"a {arguments.device} has no CUDA graphs")
    size = arguments.batches[0]
    keep("check", _check(arguments, device))
    table = Table(size, device, ceilings(device, arguments.quick), arguments, keep)
    for name, way in {"ours, bf16": WAYS["ours, bf16"], **COMPILED}.items():
        if way.compiled and (arguments.quick or left() < _LEAST):
            table.leave_out(f"{name}, CUDA graph", f"{left():.0f} seconds were left")
            continue
        made = partial(_captured_step, arguments.variant, way)
        table.add(
            {RIVAL: partial(original_step, arguments.variant), **ours({name: way}, arguments)}
            | {f"{name}, CUDA graph": made}
        )


def _captured_step(variant: str, way: Way, data: Data) -> Callable[[], None]:
    """What replays the captured step; the loop would copy each batch to where `data` is."""
    return _captured(in_training(variant, data[0].device, **way.settings()), data, way.precision)


def _captured(trained: InTraining, data: Data, precision: str) -> Callable[[], None]:
    """Steps three times, as capturing asks, then captures one more step, and gives its replay."""
    for group in trained.optimizer.param_groups:
        # on the device, where the next replay finds what the schedule says
        group.update(capturable=True, lr=torch.tensor(group["lr"], device=data[0].device))
    run = partial(take, trained, *data, precision)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        run()
    # with what was captured, whose memory the graph works on
    return partial(_replay, graph, run)


def _replay(graph: torch.cuda.CUDAGraph, captured: Callable[[], Any]) -> None:
    graph.replay()


def _check(arguments: argparse.Namespace, device: torch.device) -> dict[str, float]:
    """Whether replays train as steps do: weights after six of either, nothing drawn at random.

    Returns:
        captured: relative difference of the weights, captured against eager; eager: of eager
        against eager, which is what the order of sums does; moved: how far the weights went.
    """
    nothing = {"drop_path": 0.0, "dropout": 0.0, "semantic_dropout": 0.0}
    data, way = batch(2, 64, device), Way("bf16")

    def weights(captured: bool, steps: int) -> torch.Tensor:
        trained = in_training("nano", device, **way.settings(), **nothing)
        run: Callable[[], Any] = partial(take, trained, *data, way.precision)
        if captured:
            run, steps = _captured(trained, data, way.precision), steps - 3
        for _ in range(steps):
            run()
        computing.wait(device)
        return torch.cat([p.detach().double().flatten() for p in trained.model.parameters()])

    start, eager = weights(False, 0), weights(False, 6)
    scale = float(eager.norm())
    return {
        "captured": float((weights(True, 6) - eager).norm()) / scale,
        "eager": float((weights(False, 6) - eager).norm()) / scale,
        "moved": float((eager - start).norm()) / scale,
    }
