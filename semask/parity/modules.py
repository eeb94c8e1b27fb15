"""The look at modules: each call by itself, on the device and in float64, against a yardstick.

An error alone says little: how far honest arithmetic is off depends on the numbers. So errors are
measured in those of honest computations of the same call on this machine's CPU (the yardstick).
"""

import inspect
import os
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from semask.base import memory
from semask.devices import progress
from semask.parity.calls import Call
from semask.parity.errors import errors_of
from semask.parity.isolated import run
from semask.parity.operators import OperatorError, operator_error
from semask.parity.places import Kinds, NotTheSameCallsError, Place, Setting
from semask.parity.verdict import status_of

# Below these an error is that of the format. A 3x3 convolution by Winograd's algorithm, which GPUs
# choose, is honestly at 1 to 2.4e-6 where a direct one is at 2e-7.
FLOORS = {"fp32": 2e-7, "bf16": 2e-3, "fp16": 2.5e-4, "tf32": 2.5e-4}
CONVOLUTION_FLOOR = 1e-6
# the standard's name for products in fewer bits
_OF_STANDARD = {"tf32": "hf32"}
# of float64 twice: more is chance, not an order of summation
_SAME = 1e-9


@dataclass(frozen=True)
class Quantity:
    """What of a call was compared: `error` relative to float64, the `yardstick`, their `ratio`.

    The yardstick is None where the error is below the floor, so that none was needed.
    """

    name: str
    error: float
    yardstick: float | None
    ratio: float


@dataclass(frozen=True)
class ModuleLook:
    """What the look found of one call."""

    name: str  # path of the module and which call
    path: str  # of the module
    source: str  # see `source_of`
    status: str  # passed, looked at or failed
    worst: Quantity | None  # of the largest ratio; None where nothing could be compared
    # how the module's calls differ from the reference's, or why they cannot be compared
    fault: str | None = None
    bitwise: bool | None = None  # two runs gave equal bits; None where it was run once
    # of the output that is worst by CANN's standard; None without one or anything compared
    operator_error: OperatorError | None = None


def look(
    calls: Sequence[Call],
    reference: nn.Module,
    device: Place,
    kinds: Kinds,
    floor_of: str,
    seed: int,
    twice: bool = False,
    only: Collection[str] | None = None,
) -> Iterator[ModuleLook]:
    """Compare every call, in the order in which they end; what is done with is let go.

    The calls are of the reference, float64 on the CPU; their inputs and gradients are gone
    afterwards. For `kinds` see `semask.parity.places.Setting`; `floor_of` is a key of `FLOORS`, the
    seed of the honest computations' moves. With `twice` each call is run twice on the device, to
    say whether bits are equal; where `only` has names of calls, no others are compared.
    """
    true = Place(reference, torch.device("cpu"), torch.float64)
    honest = cache(lambda: deepcopy(reference).float())
    given: dict[Call, list[Tensor | None]] = {}
    for number, call in enumerate(calls, start=1):
        progress.mark("computing gradients", part=number)
        memory.trim()
        there = Setting(device, given, kinds)
        truth = run(call, there.elsewhere(true))
        if only is None or call.name in only:
            yield _compare(call, truth, true, there, floor_of, seed, twice, honest)
        given[call] = [
            None if (x := truth.get(f"gradient of input {i}")) is None else x.float()
            for i in range(len(call.inputs))
        ]
        for part in call.parts:
            given.pop(part, None)
            part.inputs, part.outputs, part.gradients = [], [], []


def _compare(
    call: Call,
    truth: Mapping[str, Tensor],
    true: Place,
    there: Setting,
    floor_of: str,
    seed: int,
    twice: bool,
    honest: Callable[[], nn.Module],
) -> ModuleLook:
    module = true.model.get_submodule(call.path)
    looked_at = partial(ModuleLook, call.name, call.path, source_of(type(module)))  # type: ignore[arg-type]  # classes hash
    otherwise = None
    try:
        found = run(call, there)
    except NotTheSameCallsError as fault:
        if not call.parts:
            return looked_at("failed", None, str(fault))
        # what counts is what comes out: fused attention calls no softmax
        otherwise, there = str(fault), replace(there, as_one=True)
        truth = run(call, there.elsewhere(true))
        try:
            found = run(call, there)
        except NotTheSameCallsError:
            return looked_at("failed", None, str(fault))
    bitwise = _equal(found, run(call, there)) if twice else None
    if {*found} != {*truth}:
        missing = sorted({*found} ^ {*truth})[0]
        where = "the device" if missing in truth else "the reference"
        return looked_at("failed", None, f"{missing} is not on {where}")
    errors = errors_of(found, truth)
    floor = floor_for(module, floor_of)
    yardsticks: dict[str, float] = {}
    if max(errors.values(), default=0) > floor:
        again = errors_of(run(call, there.elsewhere(true)), truth)
        if max(again.values()) > _SAME:
            # of such a yardstick everything would pass
            why = "it draws at random by itself; give it a probability of 0"
            return looked_at("looked at", None, why, bitwise)
        yardsticks = _yardsticks(call, truth, true, there, seed, honest)
    quantities = []
    for name, error in errors.items():
        yardstick = yardsticks.get(name) if error > floor else None
        ratio = error / max(yardstick or 0.0, floor)
        quantities.append(Quantity(name, error, yardstick, ratio))
    if not quantities:
        return looked_at("passed", None, None, bitwise)
    worst = max(quantities, key=lambda quantity: quantity.ratio)
    status = status_of(worst.ratio)
    both = f"{otherwise}, and its numbers differ" if otherwise and status == "failed" else None
    return looked_at(status, worst, both, bitwise, _by_operators(found, truth, floor_of))


def _by_operators(
    found: Mapping[str, Tensor], truth: Mapping[str, Tensor], floor_of: str
) -> OperatorError | None:
    kind = _OF_STANDARD.get(floor_of, floor_of)
    outputs = [name for name, x in truth.items() if name.startswith("output") and x.numel()]
    errors = [operator_error(found[name].double(), truth[name], kind) for name in outputs]
    return max(errors, key=lambda error: error.of_allowed, default=None)


@cache
def source_of(kind: type[nn.Module]) -> str:
    """A module's class and where it is written: `GELU, torch/nn/modules/activation.py:785`."""
    try:
        _, line = inspect.getsourcelines(kind)
        file = Path(inspect.getfile(kind))
    except (OSError, TypeError):  # made by a function, or typed in
        return f"{kind.__name__}, {kind.__module__}"
    folders = [Path(folder) for folder in sys.path if folder and file.is_relative_to(folder)]
    within = max(folders, key=lambda folder: len(folder.parts), default=file.parent)
    return f"{kind.__name__}, {file.relative_to(within).as_posix()}:{line}"


def floor_for(module: nn.Module, floor_of: str) -> float:
    """The error below which none is judged."""
    kernels = [m.kernel_size for m in module.modules() if isinstance(m, nn.modules.conv._ConvNd)]
    if floor_of == "fp32" and any(max(kernel) >= 3 for kernel in kernels):
        return CONVOLUTION_FLOOR
    return FLOORS[floor_of]


def _equal(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return {*a} == {*b} and all(torch.equal(x, b[name]) for name, x in a.items())


def _yardsticks(
    call: Call,
    truth: Mapping[str, Tensor],
    true: Place,
    there: Setting,
    seed: int,
    honest: Callable[[], nn.Module],
) -> dict[str, float]:
    """The largest error of each quantity among honest computations of the call on the CPU."""
    place = Place(honest(), torch.device("cpu"), torch.float32, there.place.precision)
    largest: dict[str, float] = {}
    for surroundings, moved in (*honest_ways(seed), (_OneByOne, None)):
        with surroundings():
            found = run(call, there.elsewhere(place, moved))
        for name, error in errors_of(found, truth).items():
            if np.isfinite(error):
                largest[name] = max(largest.get(name, 0.0), error)
    return largest


def honest_ways(
    seed: int, moves: int = 3
) -> Iterator[tuple[Callable[[], Any], np.random.Generator | None]]:
    """Surroundings of an honest computation, and what moves its numbers within their rounding.

    Rounding has many right answers: other orders of summation, other kernels, other last places.
    """
    threads = torch.get_num_threads()
    yield lambda: _threads(1), None
    yield lambda: _threads(max(threads, os.cpu_count() or 1)), None
    yield _without_mkldnn, None
    for i in range(moves):
        yield lambda: _threads(threads), np.random.default_rng([seed, i])


class _OneByOne(TorchDispatchMode):
    """Context in which sums over rows (gradients of biases) add one row after the other.

    So compilers write them: Inductor on a CPU is 30 times as far off as torch's own sums.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not torch.ops.aten.sum.dim_IntList or kwargs or args[0].dtype != torch.float32:
            return func(*args, **(kwargs or {}))
        x, of, *keep = args
        dims = sorted(dim % x.dim() for dim in of or ())
        if not 0 < len(dims) < x.dim():
            return func(*args)
        rows = x.movedim(dims, [*range(len(dims))]).flatten(0, len(dims) - 1).contiguous()
        # numpy adds whole rows, in order
        total = np.add.reduce(rows.numpy(), axis=0)
        return torch.from_numpy(np.expand_dims(total, dims) if any(keep) else total)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _without_mkldnn() -> Iterator[None]:
    with warnings.catch_warnings():
        # of a setting for Intel's GPUs that it sets along
        warnings.simplefilter("ignore")
        with torch.backends.mkldnn.flags(enabled=False):
            yield
