"""Welch's interval: of sums of independent means whose variances differ."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]


def quantile(variances: Sequence[ArrayLike], freedom: Sequence[float], level: float) -> Floats:
    """Student's quantile for a sum of independent parts, by Satterthwaite's degrees of freedom.

    `variances` and their degrees of freedom are of each part; arrays that broadcast judge many sums
    at once, and give a result of their common shape. The level is that of the interval, two-sided.
    NaN where all variances are 0.
    """
    parts = [np.asarray(variance, float) for variance in variances]
    with np.errstate(invalid="ignore"):
        of_sum = sum(parts) ** 2 / sum(v**2 / f for v, f in zip(parts, freedom, strict=True))
    found: Floats = stats.t.ppf((1 + level) / 2, of_sum)
    return found


def half_width(variances: Sequence[ArrayLike], counts: Sequence[int], level: float) -> Floats:
    """Half the interval of a difference of means, by each row's sample variance and count.

    NaN where all variances are 0.
    """
    of_means = [np.asarray(variance) / n for variance, n in zip(variances, counts, strict=True)]
    half: Floats = quantile(of_means, [n - 1 for n in counts], level) * np.sqrt(sum(of_means))
    return half
