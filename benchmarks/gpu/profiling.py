"""Where the time of a bf16 training step goes: by part, and by operator and kernel."""

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.ways import WAYS, Keep, Left, Way, device_of, seconds_of, several
from benchmarks.pairing import one_line
from benchmarks.train_step import batch, in_training, take
from semask.training.part_times import Watch
from semask.training.profiling import kind_of

_STEPS = 5
_LARGEST = 25  # operators and kernels that are kept
_LEAST = 30  # seconds under which nothing is compiled any more
_PROFILED = (
    "ours, bf16",
    "ours, bf16, compiled",
    "ours, bf16, fused attention",
    "ours, bf16, compiled, fused attention",
)


def measure(arguments: argparse.Namespace, keep: Keep, left: Left) -> None:
    """Keeps, for each way of `_PROFILED` at the first batch, what `_of` finds."""
    device = device_of(arguments)
    data = batch(arguments.batches[0], arguments.crop, device)
    for name in _PROFILED:
        way = WAYS[name]
        if way.compiled and (arguments.quick or left() < _LEAST):
            keep(name, {"not_run": f"{left():.0f} seconds were left, or --quick"})
            continue
        try:
            keep(name, _of(way, data, arguments.variant, partial(keep, name)))
        except Exception as fault:
            keep(f"{name}, fault", one_line(fault))


def _of(
    way: Way,
    data: tuple[torch.Tensor, torch.Tensor],
    variant: str,
    so_far: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """What a step's time goes to.

    Returns:
        milliseconds: of a step, nothing else being looked at.
        kernels, kernel_milliseconds: number and time of kernels in a step; busy_share: of the
        step's time. On a CPU operators are counted in their place.
        by_kernel, by_operator: the largest, each with its share of all kernels' time, milliseconds
        and number a step.
        by_kind: share of kernels' time, by what their names tell.
        parts: milliseconds of each, see `semask.training.part_times`.
    """
    device = data[0].device
    trained = in_training(variant, device, **way.settings())
    run = partial(take, trained, *data, way.precision)
    seconds_of(several(run, 3, device), device)
    whole = several(run, _STEPS, device)
    step = min(seconds_of(whole, device) for _ in range(3)) / _STEPS
    found: dict[str, Any] = {"milliseconds": 1000 * step}
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as recorded:
        whole()
    found |= _operators(recorded.key_averages(), device, step)
    so_far(found)
    # what `take` needs of a stepper is what is watched of one
    watched: Any = SimpleNamespace(**trained._asdict(), _losses_of=trained.losses_of)
    with Watch(watched, device) as watch:
        for _ in range(_STEPS):
            take(trained._replace(losses_of=watched._losses_of), *data, way.precision)
    return {**found, "parts": watch.milliseconds(_STEPS)}


def _operators(events: Iterable[Any], device: torch.device, step: float) -> dict[str, Any]:
    kernels, operators, count = {}, {}, 0
    for event in events:
        if getattr(event, "is_user_annotation", False):
            continue
        if event.device_type != DeviceType.CPU:
            kernels[event.key] = (event.self_device_time_total, event.count)
            count += event.count
        elif device.type == "cuda":
            operators[event.key] = (event.self_device_time_total, event.count)
        else:
            operators[event.key] = (event.self_cpu_time_total, event.count)
            count += event.count
    total = sum(time for time, _ in (kernels or operators).values()) or 1.0
    kinds: dict[str, float] = defaultdict(float)
    for name, (microseconds, _) in kernels.items():
        kinds[kind_of(name)] += microseconds / total
    return {
        "kernels": count / _STEPS,
        "kernel_milliseconds": total / 1000 / _STEPS,
        "busy_share": total / 1e6 / _STEPS / step,
        "by_kernel": _largest(kernels, total),
        "by_operator": _largest(operators, total),
        "by_kind": dict(sorted(kinds.items(), key=lambda item: -item[1])),
    }


def _largest(spent: dict[str, tuple[float, int]], total: float) -> list[dict[str, Any]]:
    ordered = sorted(spent.items(), key=lambda item: -item[1][0])[:_LARGEST]
    return [
        {
            "name": name[:200],
            "share": microseconds / total,
            "milliseconds": microseconds / 1000 / _STEPS,
            "number": number / _STEPS,
        }
        for name, (microseconds, number) in ordered
    ]
