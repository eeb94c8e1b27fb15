"""The reference's pass through a model, call by call: what went into each module and came out.

A model is any `torch.nn.Module`. Each call of one of its modules is noted with its inputs, its
outputs, the gradients of the loss by its outputs, and the calls that it made itself: its parts.
"""

import math
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

# The largest gradient of a look, by a power of two: what half precision would lose of small
# gradients stays, as it does in training with a scaled loss, and sums of it do not overflow.
_LARGEST = 2.0**6


@dataclass(eq=False)
class Call:
    """One call of a module; tensors are on the CPU, floating ones as float32."""

    path: str  # the module's name in the model; empty for the model itself
    number: int  # of the module's calls, counted from 0
    parts: list["Call"] = field(default_factory=list)  # made by it, in order of their beginning
    inputs: list[Any] = field(default_factory=list)  # leaves of arguments and keywords
    outputs: list[Any] = field(default_factory=list)
    wants: list[bool] = field(default_factory=list)  # which inputs a gradient flows to
    # of the loss by each output; None where none arrived
    gradients: list[Tensor | None] = field(default_factory=list)
    form: TreeSpec | None = None  # of the inputs, to put them together again
    result_form: TreeSpec | None = None
    in_place: bool = False  # it changed an input: its caller cannot do without it

    @property
    def name(self) -> str:
        """The path, and which call where there are several."""
        return f"{self.path or '(whole)'}{f' call {self.number + 1}' if self.number else ''}"

    def arguments(self, leaves: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments and keywords of the call, of other leaves."""
        assert self.form is not None
        args, kwargs = tree_unflatten(list(leaves), self.form)
        return args, kwargs

    def result(self, leaves: Sequence[Any]) -> Any:
        """What the call returned, of other leaves."""
        assert self.result_form is not None
        return tree_unflatten(list(leaves), self.result_form)


def is_floating(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point()


@contextmanager
def kept(tensors: Callable[[], Iterable[tuple[str, Tensor]]]) -> Iterator[None]:
    """Context after which tensors, told by their names, are what they were before."""
    before = {name: x.detach().clone() for name, x in tensors()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, x in tensors():
                x.copy_(before[name])


def buffers_kept(module: nn.Module) -> AbstractContextManager[None]:
    """Context after which a module's buffers are what they were before."""
    return kept(module.named_buffers)


def capture(
    model: nn.Module,
    run: Callable[[nn.Module], Tensor],
    whole: Callable[[str], bool] = lambda path: False,
) -> tuple[list[Call], float, float]:
    """Run a model, float64 on the CPU, forward and backward and note every call.

    `run` calls it and returns the loss, a scalar. The parts of modules whose paths are `whole` are
    not noted. The parameters' gradients are left at them, scaled.

    Returns:
        The calls in the order in which they ended, hence a call after its parts; the loss; and
        the power of two that all gradients are scaled by.
    """
    ended: list[Call] = []
    with _Noting(model, ended, whole) as notes:
        loss = run(model)
        notes.remove_hooks()
        loss.backward()
    return ended, float(loss.detach()), _scale_gradients(ended, model)


@torch.no_grad()
def _scale_gradients(calls: Sequence[Call], model: nn.Module) -> float:
    """Scales what a backward pass left, in place, and returns by how much."""
    of_calls = {id(x): x for call in calls for x in call.gradients if x is not None}
    gradients = [*of_calls.values(), *(p.grad for p in model.parameters() if p.grad is not None)]
    largest = max((float(x.abs().max()) for x in gradients if x.numel()), default=0.0)
    if not 0 < largest < float("inf"):
        return 1.0
    scale = 2.0 ** round(math.log2(_LARGEST / largest))
    for x in gradients:
        x.mul_(scale)
    return scale


class _Noting:
    """Context in which the calls of a model's modules are noted, as float32 on the CPU."""

    def __init__(self, model: nn.Module, ended: list[Call], whole: Callable[[str], bool]):
        self._model, self._ended, self._whole = model, ended, whole
        self._open: list[tuple[Call, list[Any], list[int]]] = []
        self._closed = 0  # depth within a module that is taken as one
        self._counts: Counter[str] = Counter()
        self._hooks = ExitStack()
        self._kept: dict[int, tuple[Any, int, Tensor]] = {}

    def __enter__(self) -> "_Noting":
        for path, module in self._model.named_modules():
            begin = module.register_forward_pre_hook(partial(self._begin, path), with_kwargs=True)
            self._hooks.enter_context(begin)
            self._hooks.enter_context(module.register_forward_hook(self._end, with_kwargs=True))
        return self

    def __exit__(self, *_: Any) -> None:
        self.remove_hooks()
        self._kept.clear()

    def remove_hooks(self) -> None:
        self._hooks.close()

    def _begin(self, path: str, _: nn.Module, args: Any, kwargs: Any) -> None:
        if not self._closed:
            self._note_begin(path, args, kwargs)
        if self._closed or self._whole(path):
            self._closed += 1

    def _note_begin(self, path: str, args: Any, kwargs: Any) -> None:
        leaves, form = tree_flatten((args, kwargs))
        call = Call(path, self._counts[path], form=form)
        self._counts[path] += 1
        call.inputs = [self._rounded(leaf) for leaf in leaves]
        call.wants = [is_floating(leaf) and leaf.requires_grad for leaf in leaves]
        if self._open:
            self._open[-1][0].parts.append(call)
        versions = [leaf._version if isinstance(leaf, Tensor) else 0 for leaf in leaves]
        self._open.append((call, leaves, versions))

    def _end(self, _: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        if self._closed:
            self._closed -= 1
        if self._closed:
            return
        call, leaves, versions = self._open.pop()
        call.in_place = any(
            isinstance(leaf, Tensor) and leaf._version != version
            for leaf, version in zip(leaves, versions, strict=True)
        )
        outputs, call.result_form = tree_flatten(result)
        call.outputs = [self._rounded(leaf) for leaf in outputs]
        call.gradients = [None] * len(outputs)
        for i, leaf in enumerate(outputs):
            if is_floating(leaf) and leaf.requires_grad:
                leaf.register_hook(partial(self._keep_gradient, call, i))
        self._ended.append(call)

    def _keep_gradient(self, call: Call, i: int, gradient: Tensor) -> None:
        call.gradients[i] = self._rounded(gradient)

    def _rounded(self, leaf: Any) -> Any:
        """A copy as float32; the same one for a tensor that several modules are given."""
        if not isinstance(leaf, Tensor):
            return leaf
        # a tensor's id may be another's after it is gone
        known = self._kept.get(id(leaf))
        if known is not None and known[0]() is leaf and known[1] == leaf._version:
            return known[2]
        copy = leaf.detach().to("cpu", torch.float32 if is_floating(leaf) else leaf.dtype)
        if copy.data_ptr() == leaf.data_ptr():
            copy = copy.clone()
        self._kept[id(leaf)] = weakref.ref(leaf), leaf._version, copy
        return copy
