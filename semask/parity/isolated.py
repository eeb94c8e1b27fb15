"""One call of a module by itself: the same numbers go in on every device, its parts are given.

A module that calls others is run with *given* parts: each returns what the reference's returned,
and in the backward pass what the reference's gradient is. So what is compared is the module's own
arithmetic alone, on equal numbers, and no error of a part is taken for one of its caller.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from semask.devices import computing
from semask.devices.shared_chance import SharedChance
from semask.parity.calls import Call, buffers_kept, is_floating

Kinds = Mapping[tuple[str, int], tuple[Sequence[Any], Sequence[Any]]]
"""Dtypes of inputs and outputs by path and number of a call, as the device has them."""

Given = Mapping[Call, list[Tensor | None]]
"""Gradients by a call's inputs, float32 on the CPU."""


@dataclass(frozen=True)
class Place:
    """A model somewhere: the reference, the device, or an honest computation on the CPU.

    Attributes:
        model: with the names of the reference's modules.
        device: that it is on.
        dtype: of its parameters.
        precision: fp32, bf16 or fp16 (autocast).
    """

    model: nn.Module
    device: torch.device
    dtype: torch.dtype = torch.float32
    precision: str = "fp32"


class NotTheSameCallsError(Exception):
    """A module called other modules than the reference's, or otherwise."""


def run(
    call: Call,
    place: Place,
    given: Given,
    kinds: Kinds,
    moved: np.random.Generator | None = None,
    as_one: bool = False,
) -> dict[str, Tensor]:
    """Run a call by itself, forward and backward.

    Args:
        call: with inputs and gradients.
        place: where.
        given: gradients by the inputs of its parts.
        kinds: dtypes that numbers are rounded to before they go in, everywhere the same; float32
            for a call that is not in it.
        moved: moves every number that goes in, and the weights, by up to half a unit in its last
            place: the yardstick's honest computations. None leaves them as they are.
        as_one: run its parts, too, in place of giving them: for a module that goes about it in
            another way on the device, as fused attention does.

    Returns:
        By name of a quantity, float64 on the CPU: outputs, gradients of inputs and of the module's
        own parameters, its buffers afterwards, and what its parts are given.

    Raises:
        NotTheSameCallsError: the module calls its parts in another way than the reference's.
    """
    module = place.model.get_submodule(call.path)
    stubbed = [] if as_one else [part for part in call.parts if not part.in_place]
    parameters = own_parameters(module, call, stubbed)
    found: dict[str, Tensor] = {}
    into, out_of = _kinds_of(call, kinds)
    leaves = [
        _placed(leaf, kind, place, moved).requires_grad_(wants) if is_floating(leaf)
        else leaf.to(place.device) if isinstance(leaf, Tensor) else leaf
        for leaf, kind, wants in zip(call.inputs, into, call.wants, strict=True)
    ]  # fmt: skip
    # a module may work in place, which a leaf of the graph forbids
    args, kwargs = call.arguments([x.clone() if is_floating(x) else x for x in leaves])
    with (
        _moved(parameters, moved),
        buffers_kept(module),
        _stubs(module, call, stubbed, place, given, kinds, moved, found),
    ):
        with same_chance(), computing.autocast(place.device, place.precision):
            result = module(*args, **kwargs)
        outputs = tree_leaves(result)
        if len(outputs) != len(call.outputs):
            raise NotTheSameCallsError(f"{len(outputs)} outputs in place of {len(call.outputs)}")
        for i, (output, expected) in enumerate(zip(outputs, call.outputs, strict=True)):
            if isinstance(output, Tensor):
                if output.shape != expected.shape:
                    raise NotTheSameCallsError(
                        f"output of shape {tuple(output.shape)} in place of {tuple(expected.shape)}"
                    )
                found[f"output {i}"] = _noted(output)
        _backward(call, place, leaves, outputs, out_of, parameters, moved, found)
        for name, buffer in own_buffers(module, call, stubbed):
            found[f"buffer {name}"] = _noted(buffer)
    return found


def same_chance() -> SharedChance:
    """Context of a look's pass: what is random in it is so in the same way everywhere."""
    return SharedChance(seed=0, iteration=0, samples=[])


def own_parameters(
    module: nn.Module, call: Call, stubbed: Sequence[Call]
) -> dict[str, nn.Parameter]:
    """Parameters that a call computes with itself: those of no part that is given."""
    return {
        name: parameter
        for name, parameter in module.named_parameters()
        if not _is_of(name, call, stubbed)
    }


def own_buffers(
    module: nn.Module, call: Call, stubbed: Sequence[Call]
) -> Iterator[tuple[str, Tensor]]:
    """Likewise buffers."""
    for name, buffer in module.named_buffers():
        if not _is_of(name, call, stubbed):
            yield name, buffer


def _is_of(name: str, call: Call, stubbed: Sequence[Call]) -> bool:
    whole = f"{call.path}.{name}" if call.path else name
    return any(whole.startswith(f"{part.path}.") for part in stubbed)


def _kinds_of(call: Call, kinds: Kinds) -> tuple[Sequence[Any], Sequence[Any]]:
    usual = torch.float32
    return kinds.get(
        (call.path, call.number), ([usual] * len(call.inputs), [usual] * len(call.outputs))
    )


def _placed(
    x: Tensor, kind: torch.dtype | None, place: Place, moved: np.random.Generator | None
) -> Tensor:
    """A float32 tensor rounded to `kind` and put where it is computed with."""
    kind = kind if kind is not None and kind.is_floating_point else torch.float32
    if moved is not None:
        x = _move(x, kind, moved)
    x = x.to(kind)
    # the reference computes with the very numbers, in double precision
    return x.to(place.device, torch.float64 if place.dtype == torch.float64 else kind)


def _move(x: Tensor, kind: torch.dtype, moved: np.random.Generator) -> Tensor:
    unit = torch.finfo(kind).eps
    by = torch.from_numpy(moved.random(tuple(x.shape), dtype=np.float32)).to(x.dtype)
    return x.double().mul(1 + (by.double() - 0.5) * unit).to(x.dtype)


def _noted(x: Tensor) -> Tensor:
    # a copy: the module may work on in place
    return x.detach().to("cpu", torch.float64 if x.is_floating_point() else x.dtype, copy=True)


def _backward(
    call: Call,
    place: Place,
    leaves: Sequence[Any],
    outputs: Sequence[Any],
    kinds: Sequence[Any],
    parameters: Mapping[str, nn.Parameter],
    moved: np.random.Generator | None,
    found: dict[str, Tensor],
) -> None:
    roots, gradients = [], []
    for output, gradient, kind in zip(outputs, call.gradients, kinds, strict=True):
        if gradient is not None:
            if not output.requires_grad:
                raise NotTheSameCallsError("an output that no gradient flows back from")
            roots.append(output)
            gradients.append(_placed(gradient, kind, place, moved).to(output.dtype))
    wanted = {
        **{f"gradient of input {i}": x for i, x in enumerate(leaves)
           if is_floating(x) and x.requires_grad},
        **{f"gradient of {name}": p for name, p in parameters.items() if p.requires_grad},
    }  # fmt: skip
    if not roots or not wanted:
        return
    of = torch.autograd.grad(roots, list(wanted.values()), gradients, allow_unused=True)
    for name, value in zip(wanted, of, strict=True):
        if value is not None:
            found[name] = _noted(value)


@contextmanager
def _moved(
    parameters: Mapping[str, nn.Parameter], moved: np.random.Generator | None
) -> Iterator[None]:
    if moved is None:
        yield
        return
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    with torch.no_grad():
        for parameter in parameters.values():
            if parameter.is_floating_point():
                parameter.copy_(_move(parameter, torch.float32, moved))
    try:
        yield
    finally:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(before[name])


@contextmanager
def _stubs(
    module: nn.Module,
    call: Call,
    stubbed: Sequence[Call],
    place: Place,
    given: Given,
    kinds: Kinds,
    moved: np.random.Generator | None,
    found: dict[str, Tensor],
) -> Iterator[None]:
    """Has the parts of a call return what the reference's did."""
    waiting: dict[str, list[tuple[int, Call]]] = defaultdict(list)
    for i, part in enumerate(stubbed):
        waiting[part.path].append((i, part))
    modules = {path: place.model.get_submodule(path) for path in waiting}
    compiled = {path: part._compiled_call_impl for path, part in modules.items()}
    # some models have a forward at a module itself, in place of its class's
    own = {path: vars(part)["forward"] for path, part in modules.items() if "forward" in vars(part)}
    try:
        for path, part_module in modules.items():

            def forward(*args: Any, path: str = path, **kwargs: Any) -> Any:
                if not waiting[path]:
                    raise NotTheSameCallsError(f"one more call of {path}")
                i, part = waiting[path].pop(0)
                return _give(i, part, args, kwargs, place, given, kinds, moved, found)

            part_module._compiled_call_impl = None
            object.__setattr__(part_module, "forward", forward)
        yield
        left = [path for path, parts in waiting.items() if parts]
        if left:
            raise NotTheSameCallsError(f"no call of {left[0]}")
    finally:
        for path, part_module in modules.items():
            vars(part_module).pop("forward", None)
            if path in own:
                object.__setattr__(part_module, "forward", own[path])
            part_module._compiled_call_impl = compiled[path]


def _give(
    i: int,
    part: Call,
    args: Any,
    kwargs: Any,
    place: Place,
    given: Given,
    kinds: Kinds,
    moved: np.random.Generator | None,
    found: dict[str, Tensor],
) -> Any:
    leaves = tree_leaves((args, kwargs))
    if len(leaves) != len(part.inputs):
        raise NotTheSameCallsError(f"{part.name} is called with {len(leaves)} values")
    for k, (leaf, expected) in enumerate(zip(leaves, part.inputs, strict=True)):
        if isinstance(leaf, Tensor) and leaf.shape != expected.shape:
            raise NotTheSameCallsError(
                f"{part.name} is given {tuple(leaf.shape)} in place of {tuple(expected.shape)}"
            )
        if isinstance(leaf, Tensor):
            found[f"input {k} of part {i}, {part.name}"] = _noted(leaf)
    into, out_of = _kinds_of(part, kinds)
    outputs = [
        _placed(x, kind, place, moved) if is_floating(x)
        else x.to(place.device) if isinstance(x, Tensor) else x
        for x, kind in zip(part.outputs, out_of, strict=True)
    ]  # fmt: skip
    taking = [k for k, gradient in enumerate(given.get(part, [])) if gradient is not None]

    def note(k: int, gradient: Tensor) -> None:
        found[f"gradient by output {k} of part {i}, {part.name}"] = _noted(gradient)

    def back() -> list[Tensor]:
        return [
            _placed(given[part][k], into[k], place, moved).to(leaves[k].dtype)  # type: ignore[arg-type]
            for k in taking
        ]

    returning = [k for k, x in enumerate(outputs) if is_floating(x) and _got(part, k)]
    # the number of its own has a part return what gradients flow back from, whatever its inputs
    own = torch.ones((), device=place.device, requires_grad=torch.is_grad_enabled())
    if returning:
        made = _Part.apply(
            [outputs[k] for k in returning],
            lambda k, gradient: note(returning[k], gradient),
            back,
            own,
            *[leaves[k] for k in taking],
        )
        for k, x in zip(returning, made, strict=True):
            outputs[k] = x
    return part.result(outputs)


def _got(part: Call, k: int) -> bool:
    return part.gradients[k] is not None


class _Part(torch.autograd.Function):
    """Returns given outputs, notes the gradients that arrive, and passes given ones on."""

    @staticmethod
    def forward(ctx: Any, outputs: Any, note: Any, back: Any, *inputs: Tensor) -> Any:
        ctx.set_materialize_grads(False)
        ctx.note, ctx.back = note, back
        return tuple(x.clone() for x in outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        for k, gradient in enumerate(gradients):
            if gradient is not None:
                ctx.note(k, gradient)
        return (None, None, None, None, *ctx.back())
