"""The look at the whole: one forward and backward pass, and how far each module is off in it.

Where does error enter, and does it grow along the depth as an honest computation's does? It judges
nothing by itself: an error that came in early stands in everything after it.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from semask.base import memory
from semask.devices import computing
from semask.parity.calls import Call, buffers_kept, is_floating
from semask.parity.places import Place, checksum, same_chance


@dataclass(frozen=True)
class Propagated:
    """What one pass found: relative errors."""

    loss: float  # of the batch: no error
    gradient: float  # of the loss's gradient, of all parameters together
    outputs: dict[str, float]  # of each call, by its name, in the order of their end
    gradients: dict[str, float]  # of the gradient by each parameter, by its name
    # dtypes of inputs and outputs by path and number of a call
    kinds: dict[tuple[str, int], tuple[list[Any], list[Any]]]
    bits: dict[str, int]  # checksums of each call's outputs and each parameter's gradient

    def as_dict(self) -> dict[str, Any]:
        """Plain values: all but kinds and bits."""
        return {name: value for name, value in vars(self).items() if name not in ("kinds", "bits")}

    def unequal(self, other: "Propagated") -> list[str]:
        """What another pass had other bits in: outputs of calls, then gradients of parameters."""
        return [name for name, bits in self.bits.items() if other.bits.get(name) != bits]


def propagate(
    calls: Sequence[Call],
    gradients: Mapping[str, Tensor],
    scale: float,
    place: Place,
    run: Callable[[nn.Module], Tensor],
) -> Propagated:
    """Take a model forward and backward and compare it with the reference's pass.

    The reference's calls, and its parameters' gradients, float64, scaled by `scale`, are given.
    `run` calls the model on its device and returns the loss; its buffers are left as they were.
    Without calls and gradients the pass is only run, for its bits.
    """
    memory.trim()
    known = {(call.path, call.number): call for call in calls}
    outputs: dict[str, float] = {}
    kinds: dict[tuple[str, int], tuple[list[Any], list[Any]]] = {}
    bits: dict[str, int] = {}
    counts: Counter[str] = Counter()

    def end(path: str, _: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        key = path, counts[path]
        counts[path] += 1
        leaves = tree_leaves(result)
        bits[Call(*key).name] = checksum(leaves)
        kinds[key] = _dtypes(tree_leaves((args, kwargs))), _dtypes(leaves)
        if key in known and len(leaves) == len(known[key].outputs):
            outputs[known[key].name] = _error(leaves, known[key].outputs)

    parameters = {name: p for name, p in place.model.named_parameters() if p.requires_grad}
    with buffers_kept(place.model):
        with ExitStack() as hooks, same_chance(), computing.autocast(place.device, place.precision):
            for path, module in place.model.named_modules():
                hook = module.register_forward_hook(partial(end, path), with_kwargs=True)
                hooks.enter_context(hook)
            loss = run(place.model)
        of = torch.autograd.grad(loss * scale, list(parameters.values()), allow_unused=True)
    found = {name: x.detach() for name, x in zip(parameters, of, strict=True) if x is not None}
    bits |= {f"gradient of {name}": checksum([x]) for name, x in found.items()}
    errors, difference, size = {}, 0.0, 0.0
    for name, expected in gradients.items():
        if name in found:
            off = float((found[name].to("cpu").double() - expected).norm())
            norm = float(expected.norm())
            errors[name] = off / norm if norm else off
            difference, size = difference + off**2, size + norm**2
    together = (difference / size) ** 0.5 if size else 0.0
    return Propagated(float(loss.detach()), together, outputs, errors, kinds, bits)


def _dtypes(leaves: Sequence[Any]) -> list[Any]:
    return [leaf.dtype if is_floating(leaf) else None for leaf in leaves]


def _error(leaves: Sequence[Any], expected: Sequence[Any]) -> float:
    off = size = 0.0
    for leaf, right in zip(leaves, expected, strict=True):
        if is_floating(leaf) and leaf.shape == right.shape:
            exact = right.double()
            off += float((leaf.detach().to("cpu").double() - exact).square().sum())
            size += float(exact.square().sum())
    return (off / size) ** 0.5 if size else off**0.5
