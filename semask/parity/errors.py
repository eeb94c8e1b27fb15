"""Relative errors of what a call computes, by quantity."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

# What is smaller, beside the largest of its kind in the call, is zero by construction (the gradient
# of keys' bias under a softmax over keys, the mean of what a norm has centred): its relative error
# is noise.
_ZERO = 1e-6
_MAY_BE_ZERO = ("gradient", "buffer")
# Beyond it a number is a mask's, which stands for an infinity: the lowest of float64 in the
# reference, and of float32 or bfloat16 on a device.
_INFINITE = 1e38


def errors_of(found: Mapping[str, Tensor], truth: Mapping[str, Tensor]) -> dict[str, float]:
    """Relative errors in the 2-norm, among what is finite in the truth.

    Infinite where what is not finite is not the same in both, or something should be zero.
    """
    truth = {name: _doubled(x) for name, x in truth.items()}
    sizes = {name: _norm(x) for name, x in truth.items()}
    largest = {
        kind: max((size for name, size in sizes.items() if name.startswith(kind)), default=0.0)
        for kind in _MAY_BE_ZERO
    }
    errors = {}
    for name, expected in truth.items():
        difference = _difference(_doubled(found[name]), expected)
        size = sizes[name]
        for kind, most in largest.items():
            if name.startswith(kind) and size < _ZERO * most:
                size = most
        known = 0 < size < np.inf
        errors[name] = difference / size if known else (0.0 if not difference else np.inf)
    return errors


def _doubled(x: Tensor) -> Tensor:
    x = x.double()
    if not x.numel() or float(x.norm(np.inf)) < _INFINITE:
        return x
    return torch.where(x.abs() > _INFINITE, x.sign() * np.inf, x)


def _norm(x: Tensor) -> float:
    """Of the finite elements: an infinity would hide every error beside it."""
    norm = float(x.norm())
    return norm if np.isfinite(norm) else float(x[x.isfinite()].norm())


def _difference(a: Tensor, b: Tensor) -> float:
    finite = b.isfinite()
    if not finite.all():
        if not torch.allclose(a[~finite], b[~finite], rtol=0, atol=0, equal_nan=True):
            return np.inf
        a, b = a[finite], b[finite]
    norm = float((a - b).norm())
    return norm if np.isfinite(norm) else np.inf
