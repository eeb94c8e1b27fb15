"""Where the time of a bf16 training step goes: by module, and by operator and kernel."""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.ways import WAYS, Keep, Left, Way, device_of, seconds_of, several
from benchmarks.pairing import one_line
from benchmarks.train_step import InTraining, batch, in_training, take
from semask.devices import computing
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
_Mark = Any  # a CUDA event, or seconds
_Spans = dict[str, list[tuple[_Mark, _Mark]]]


def measure(arguments: argparse.Namespace, keep: Keep, left: Left) -> None:
    """Keeps, for each way of `_PROFILED` at the first batch, what `_of` finds.

    Raises:
        InputError: the device is not there.
    """
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
        phases: milliseconds of forward pass, loss, backward pass and update.
        forward, backward: milliseconds of modules, those of one kind in a stage taken together.
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
    return {**found, **_modules(trained, data, way.precision)}


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


def _modules(
    trained: InTraining, data: tuple[torch.Tensor, torch.Tensor], precision: str
) -> dict[str, Any]:
    images, labels = data
    mark = partial(_mark, images.device)
    forward: _Spans = defaultdict(list)
    backward: _Spans = defaultdict(list)
    phases: _Spans = defaultdict(list)
    _watch(trained.model, mark, forward, backward)
    for _ in range(_STEPS):
        trained.optimizer.zero_grad(set_to_none=True)
        marks = [mark()]
        with computing.autocast(images.device, precision):
            main, semantic = trained.model(images)
        marks.append(mark())
        loss = trained.losses_of(main, semantic, labels).total
        marks.append(mark())
        loss.backward()
        marks.append(mark())
        trained.optimizer.step()
        marks.append(mark())
        for name, begun, ended in zip(
            ("forward", "loss", "backward", "update"), marks[:-1], marks[1:], strict=True
        ):
            phases[name].append((begun, ended))
    if images.device.type != "cpu":
        torch.accelerator.synchronize(images.device)
    found = {"phases": phases, "forward": forward, "backward": backward}
    return {name: {key: _sum(spans) for key, spans in of.items()} for name, of in found.items()}


def _mark(device: torch.device) -> _Mark:
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _sum(spans: list[tuple[_Mark, _Mark]]) -> float:
    """Milliseconds a step."""
    if spans and isinstance(spans[0][0], float):
        return sum(1000 * (ended - begun) for begun, ended in spans) / _STEPS
    return float(sum(begun.elapsed_time(ended) for begun, ended in spans)) / _STEPS


def _watch(model: Any, mark: Callable[[], _Mark], forward: _Spans, backward: _Spans) -> None:
    """Notes when modules begin and end; of compiled ones the whole, and nothing inside."""
    backbone = model.backbone
    _time(backbone.patch_embed, "patch embedding", mark, forward)
    _time(model.decode_head, "decoder", mark, forward)
    for i, stage in enumerate(backbone.layers):
        name = f"stage {i + 1}"
        _time(stage, name, mark, forward)
        _time_backward(stage, name, mark, backward)
        _time(getattr(backbone, f"norm{i}"), "norms of the features", mark, forward)
        _time(stage.semantic_layer, f"{name}, semantic layer", mark, forward)
        if stage.downsample is not None:
            _time(stage.downsample, f"{name}, way down", mark, forward)
        for block in stage.blocks:
            _time(block, f"{name}, blocks", mark, forward)
            if block._compiled_call_impl is None:
                _time(block.attn, f"{name}, blocks' attention", mark, forward)
                _time(block.mlp, f"{name}, blocks' MLP", mark, forward)
                for norm in (block.norm1, block.norm2):
                    _time(norm, f"{name}, blocks' norms", mark, forward)


def _time(module: nn.Module, name: str, mark: Callable[[], _Mark], spans: _Spans) -> None:
    compiled = module._compiled_call_impl
    if compiled is not None:  # a hook would be compiled, too

        def timed(*arguments: Any, **options: Any) -> Any:
            begun = mark()
            result = compiled(*arguments, **options)
            spans[name].append((begun, mark()))
            return result

        module._compiled_call_impl = timed
        return
    begun: list[_Mark] = []
    module.register_forward_pre_hook(lambda *_: begun.append(mark()))
    module.register_forward_hook(lambda *_: spans[name].append((begun.pop(), mark())))


def _time_backward(module: nn.Module, name: str, mark: Callable[[], _Mark], spans: _Spans) -> None:
    """From when the gradients of a module's results are there to when those of its input are."""
    begun: list[_Mark] = []
    module.register_full_backward_pre_hook(lambda *_: begun.append(mark()))
    module.register_full_backward_hook(lambda *_: spans[name].append((begun.pop(), mark())))
