"""One call of a module by itself: the same numbers go in on every device, its parts are given.

A module that calls others is run with *given* parts: each returns what the reference's returned,
and in the backward pass what the reference's gradient is. So what is compared is the module's own
arithmetic alone, on equal numbers, and no error of a part is taken for one of its caller.
"""

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
from semask.parity.stubs import given_parts

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
    leaves = [
        setting.placed(leaf, kind).requires_grad_(wants) if is_floating(leaf)
        else leaf.to(place.device) if isinstance(leaf, Tensor) else leaf
        for leaf, kind, wants in zip(call.inputs, into, call.wants, strict=True)
    ]  # fmt: skip
    # a module may work in place, which a leaf of the graph forbids
    args, kwargs = call.arguments([x.clone() if is_floating(x) else x for x in leaves])
    moved = nullcontext() if setting.moved is None else _moved(parameters, setting.moved)
    with moved, buffers_kept(module), given_parts(stubbed, setting, found):
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
    return {name: x for name, x in named if not _is_of(name, call, stubbed)}


def _is_of(name: str, call: Call, stubbed: Sequence[Call]) -> bool:
    whole = f"{call.path}.{name}" if call.path else name
    return any(whole.startswith(f"{part.path}.") for part in stubbed)


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
