"""CANN's ecosystem standard for operators: shown beside our own ratios, and in no place of them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from semask.base.errors import InputError

OPERATOR_LIMITS = {"fp32": 2.0**-13, "hf32": 2.0**-11, "fp16": 2.0**-10, "bf16": 2.0**-7}
"""T of CANN's ecosystem standard, by the type that was computed in."""

_NEVER_ZERO = 1e-7


class OperatorError(NamedTuple):
    """Relative errors of an operator's output, by CANN's ecosystem standard."""

    mean: float  # of r = |a − g| / (|g| + 1e-7) over the elements
    largest: float
    limit: float  # T
    accepted: bool  # mean r < T and largest r < 10 T


def operator_error(actual: ArrayLike, golden: ArrayLike, computed_in: str) -> OperatorError:
    """What CANN's ecosystem standard says of an operator's output.

    `golden`, of the same shape, was computed in a higher precision than `computed_in`: fp32, hf32,
    fp16 or bf16.

    Returns:
        Its errors; infinite, and not accepted, where a value of either is not finite.

    Raises:
        InputError: the shapes differ or are empty, or the standard has no limit for the type.
    """
    if computed_in not in OPERATOR_LIMITS:
        raise InputError(
            f"operator standard: {computed_in!r} has no limit; use {', '.join(OPERATOR_LIMITS)}"
        )
    a, g = np.asarray(actual, float), np.asarray(golden, float)
    if a.shape != g.shape or not a.size:
        raise InputError(
            f"operator standard: shapes {a.shape} and {g.shape}; give two arrays of one shape that "
            "is not empty"
        )
    limit = OPERATOR_LIMITS[computed_in]
    if not (np.isfinite(a).all() and np.isfinite(g).all()):
        return OperatorError(float("inf"), float("inf"), limit, False)
    errors = np.abs(a - g) / (np.abs(g) + _NEVER_ZERO)
    mean, largest = float(errors.mean()), float(errors.max())
    return OperatorError(mean, largest, limit, mean < limit and largest < 10 * limit)
