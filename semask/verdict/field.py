"""The field's own acceptance figures, shown beside the grounds of a verdict, never in their place.

None of them tells a fault from chance or rounding: docs/verdict.md has what they acquit and accuse.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from semask.base.errors import InputError
from semask.comparison import FORWARDS_PER_STEP

LOSS_LIMIT = 0.02
"""Mean relative difference of losses below which verl (#332) and OpenRLHF (#605) accept a port."""
FIRST = 10
"""Iterations in which chance and rounding have not yet taken over."""
MFU_LIMIT = 0.24
"""Model FLOPs utilisation that VeOmni (#1031) asks of a port."""
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

    Logs are lines as `semask.training.log_file.read_log` gives them; differences are divided by the
    loss of `theirs`.

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
