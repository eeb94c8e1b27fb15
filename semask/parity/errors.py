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


def errors_of(found: Mapping[str, Tensor], truth: Mapping[str, Tensor]) -> dict[str, float]:
    """Relative errors in the 2-norm, among what is finite in the truth.

    Infinite where what is not finite is not the same in both, or something should be zero.
    """
    sizes = {name: _norm(x.double()) for name, x in truth.items()}
    largest = {
        kind: max((size for name, size in sizes.items() if name.startswith(kind)), default=0.0)
        for kind in _MAY_BE_ZERO
    }
    errors = {}
    for name, expected in truth.items():
        difference = _difference(found[name].double(), expected.double())
        size = sizes[name]
        for kind, most in largest.items():
            if name.startswith(kind) and size < _ZERO * most:
                size = most
        known = 0 < size < np.inf
        errors[name] = difference / size if known else (0.0 if not difference else np.inf)
    return errors


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
