"""Parts of a call that are *given*: they return what the reference's returned.

In the backward pass they pass on what the reference's gradients were. So a module's own arithmetic
is computed on equal numbers everywhere, and no error of a part is taken for one of its caller.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from semask.parity.calls import Call, is_floating
from semask.parity.places import NotTheSameCallsError, Setting, noted


@contextmanager
def given_parts(
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
    outputs = [
        setting.placed(x, kind) if is_floating(x)
        else x.to(device) if isinstance(x, Tensor) else x
        for x, kind in zip(part.outputs, out_of, strict=True)
    ]  # fmt: skip
    taking = [k for k, gradient in enumerate(given.get(part, [])) if gradient is not None]

    def note(k: int, gradient: Tensor) -> None:
        found[f"gradient by output {k} of part {i}, {part.name}"] = noted(gradient)

    def back() -> list[Tensor]:
        return [
            setting.placed(given[part][k], into[k]).to(leaves[k].dtype)  # type: ignore[arg-type]
            for k in taking
        ]

    returning = [
        k for k, x in enumerate(outputs) if is_floating(x) and part.gradients[k] is not None
    ]
    # the number of its own has a part return what gradients flow back from, whatever its inputs
    own = torch.ones((), device=device, requires_grad=torch.is_grad_enabled())
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
