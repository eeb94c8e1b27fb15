"""The field's own acceptance figures, shown beside the grounds of a verdict, never in their place.

None of them tells a fault from chance or rounding: docs/verdict.md has what they acquit and accuse.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from semask.base.errors import InputError
from semask.comparison.cost import FORWARDS_PER_STEP

LOSS_LIMIT = 0.02
"""Mean relative difference of losses below which verl (#332) and OpenRLHF (#605) accept a port."""
FIRST = 10
"""Iterations in which chance and rounding have not yet taken over."""
MFU_LIMIT = 0.24
"""Model FLOPs utilisation that VeOmni (#1031) asks of a port."""
OPERATOR_LIMITS = {"fp32": 2.0**-13, "hf32": 2.0**-11, "fp16": 2.0**-10, "bf16": 2.0**-7}
"""T of CANN's ecosystem standard, by the type that was computed in."""

_NEVER_ZERO = 1e-7
_FLOP_PER_MAC = 2


class LossDifference(NamedTuple):
    """Mean of |La − Lb| / Lb over iterations, and how many these are."""

    mean: float
    iterations: int
    mean_of_first: float  # over the first ten of them
    accepted: bool  # the mean is below 2 %


def loss_difference(
    mine: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]
) -> LossDifference:
    """How far two loss curves are apart, over the iterations that both logs have.

    Args:
        mine: log lines of a run, as `semask.training.log_file.read_log` gives them.
        theirs: of the run that it is held against, by whose loss differences are divided.

    Raises:
        InputError: they have no iteration in common.
    """
    a, b = ({x["iteration"]: x["loss"] for x in log if "loss" in x} for log in (mine, theirs))
    common = sorted(a.keys() & b.keys())
    if not common:
        raise InputError(
            "loss curves: two logs with no iteration in common; give those of two runs"
        )
    losses = np.array([[of[n] for n in common] for of in (a, b)], float)
    differences = np.abs(losses[0] - losses[1]) / losses[1]
    mean = float(differences.mean())
    return LossDifference(mean, len(common), float(differences[:FIRST].mean()), mean < LOSS_LIMIT)


class OperatorError(NamedTuple):
    """Relative errors of an operator's output, by CANN's ecosystem standard."""

    mean: float  # of r = |a − g| / (|g| + 1e-7) over the elements
    largest: float
    limit: float  # T
    accepted: bool  # mean r < T and largest r < 10 T


def operator_error(actual: ArrayLike, golden: ArrayLike, computed_in: str) -> OperatorError:
    """What CANN's ecosystem standard says of an operator's output.

    Args:
        actual: the device's output, of any shape.
        golden: of the same shape, computed in a higher precision.
        computed_in: fp32, hf32, fp16 or bf16.

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


def utilisation(gmac: float, fps: float, peak: float) -> float:
    """Model FLOPs utilisation (MFU) of training: the share of a device's peak that the model needs.

    A step's products are three times those of the forward pass. What is computed anew
    (checkpointing) does not count, nor does what is no product.

    Args:
        gmac: 10⁹ multiply-accumulates of one image forward, as `semask.comparison.cost.gmac_of`
            counts them.
        fps: training images per second of one device: of a row, FPS / processes.
        peak: of one device in the precision that was trained in, FLOP per second; a
            multiply-accumulate is 2 FLOP.

    Raises:
        InputError: a peak that is not above 0.
    """
    if not peak > 0:
        raise InputError(f"MFU: a peak of {peak:g} FLOP/s; give what the device can do")
    return FORWARDS_PER_STEP * gmac * 1e9 * _FLOP_PER_MAC * fps / peak
