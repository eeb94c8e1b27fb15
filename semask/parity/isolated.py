"""One call of a module by itself: the same numbers go in on every device, its parts are given.

A module that calls others is run with *given* parts: each returns what the reference's returned,
and in the backward pass what the reference's gradient is. So what is compared is the module's own
arithmetic alone, on equal numbers, and no error of a part is taken for one of its caller.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from semask.devices import computing
from semask.parity.calls import Call, buffers_kept, is_floating, kept
from semask.parity.places import NotTheSameCallsError, Setting, moved_within, noted, same_chance

_Tensor = TypeVar("_Tensor", bound=Tensor)


def run(call: Call, setting: Setting) -> dict[str, Tensor]:
    """Run a call, which has inputs and gradients, by itself, forward and backward.

    Returns:
        By name of a quantity, on the CPU: outputs, gradients of inputs and of the module's
        own parameters, its buffers afterwards, and what its parts are given.

    Raises:
        NotTheSameCallsError: the module calls its parts in another way than the reference's.
    """
    place = setting.place
    module = place.model.get_submodule(call.path)
    stubbed = [] if setting.as_one else [part for part in call.parts if not part.in_place]
    parameters = _own(module.named_parameters(), call, stubbed)
    found: dict[str, Tensor] = {}
    into, _ = setting.kinds_of(call)
    leaves = []
    for x, kind, wants in zip(call.inputs, into, call.wants, strict=True):
        leaf = setting.placed(x, kind)
        leaves.append(leaf.requires_grad_(wants) if is_floating(leaf) else leaf)
    # a module may work in place, which a leaf of the graph forbids
    args, kwargs = call.arguments([x.clone() if is_floating(x) else x for x in leaves])
    moved = nullcontext() if setting.moved is None else _moved(parameters, setting.moved)
    with moved, buffers_kept(module), _given_parts(stubbed, setting, found):
        # torch cannot compile within such a context; what a row compiles draws nothing by itself
        compiled = any(part._compiled_call_impl for part in module.modules())
        chance = nullcontext() if compiled else same_chance()
        with chance, computing.autocast(place.device, place.precision):
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
                found[f"output {i}"] = noted(output)
        _backward(call, setting, leaves, outputs, parameters, found)
        for name, buffer in _own(module.named_buffers(), call, stubbed).items():
            found[f"buffer {name}"] = noted(buffer)
    return found


def _own(
    named: Iterable[tuple[str, _Tensor]], call: Call, stubbed: Sequence[Call]
) -> dict[str, _Tensor]:
    """Parameters or buffers that a call computes with itself: those of no part that is given."""
    above, parts = f"{call.path}." if call.path else "", tuple(f"{x.path}." for x in stubbed)
    return {name: x for name, x in named if not f"{above}{name}".startswith(parts)}


def _backward(
    call: Call,
    setting: Setting,
    leaves: Sequence[Any],
    outputs: Sequence[Any],
    parameters: Mapping[str, nn.Parameter],
    found: dict[str, Tensor],
) -> None:
    roots, gradients = [], []
    for output, gradient, kind in zip(
        outputs, call.gradients, setting.kinds_of(call)[1], strict=True
    ):
        if gradient is not None:
            if not output.requires_grad:
                raise NotTheSameCallsError("an output that no gradient flows back from")
            roots.append(output)
            gradients.append(setting.placed(gradient, kind).to(output.dtype))
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
            found[name] = noted(value)


@contextmanager
def _moved(parameters: Mapping[str, nn.Parameter], by: np.random.Generator) -> Iterator[None]:
    with kept(parameters.items):
        with torch.no_grad():
            for parameter in parameters.values():
                if parameter.is_floating_point():
                    parameter.copy_(moved_within(parameter, torch.float32, by))
        yield


@contextmanager
def _given_parts(
    stubbed: Sequence[Call], setting: Setting, found: dict[str, Tensor]
) -> Iterator[None]:
    """Context in which parts of a call return what the reference's did, in the same order.

    `found` gets what the parts are handed, and the gradients that come to them.

    Raises:
        NotTheSameCallsError: they are called in another way than the reference's.
    """
    waiting: dict[str, list[tuple[int, Call]]] = defaultdict(list)
    for i, part in enumerate(stubbed):
        waiting[part.path].append((i, part))
    modules = {path: setting.place.model.get_submodule(path) for path in waiting}
    compiled = {path: part._compiled_call_impl for path, part in modules.items()}
    # some models have a forward at a module itself, in place of its class's
    own = {path: vars(part)["forward"] for path, part in modules.items() if "forward" in vars(part)}
    try:
        for path, part_module in modules.items():

            def forward(*args: Any, path: str = path, **kwargs: Any) -> Any:
                if not waiting[path]:
                    raise NotTheSameCallsError(f"one more call of {path}")
                i, part = waiting[path].pop(0)
                return _give(i, part, args, kwargs, setting, found)

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
    i: int, part: Call, args: Any, kwargs: Any, setting: Setting, found: dict[str, Tensor]
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
            found[f"input {k} of part {i}, {part.name}"] = noted(leaf)
    into, out_of = setting.kinds_of(part)
    device, given = setting.place.device, setting.given
    outputs = [setting.placed(x, kind) for x, kind in zip(part.outputs, out_of, strict=True)]
    taking = [k for k, gradient in enumerate(given.get(part, [])) if gradient is not None]

    def note(n: int, gradient: Tensor) -> None:
        found[f"gradient by output {returning[n]} of part {i}, {part.name}"] = noted(gradient)

    def back() -> list[Tensor]:
        return [setting.placed(given[part][k], into[k]).to(leaves[k].dtype) for k in taking]

    returning = [
        k for k, x in enumerate(outputs) if is_floating(x) and part.gradients[k] is not None
    ]
    # the number of its own has a part return what gradients flow back from, whatever its inputs
    own = torch.ones((), device=device, requires_grad=torch.is_grad_enabled())
    if returning:
        shown, taken = [outputs[k] for k in returning], [leaves[k] for k in taking]
        made = _Part.apply(shown, note, back, own, *taken)
        for k, x in zip(returning, made, strict=True):
            outputs[k] = x
    return part.result(outputs)


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
