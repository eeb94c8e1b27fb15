"""CANN's ecosystem standard for operators: shown beside our own ratios, and in no place of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from semask.parity.verdict import number

OPERATOR_LIMITS = {"fp32": 2.0**-13, "hf32": 2.0**-11, "fp16": 2.0**-10, "bf16": 2.0**-7}
"""T of CANN's ecosystem standard, by the type that was computed in."""

_NEVER_ZERO = 1e-7


@dataclass(frozen=True)
class OperatorError:
    """Relative errors of an operator's output, by CANN's ecosystem standard.

    Attributes:
        computed_in: a key of `OPERATOR_LIMITS`.
        mean: of r = |a − g| / (|g| + 1e-7) over the elements; infinite where a value is not finite.
        largest: likewise.
        limit: T.
    """

    computed_in: str
    mean: float
    largest: float
    limit: float

    @property
    def of_allowed(self) -> float:
        """The worse of mean r in T and largest r in 10 T."""
        return max(self.mean / self.limit, self.largest / (10 * self.limit))

    @property
    def accepted(self) -> bool:
        """Whether mean r < T and largest r < 10 T."""
        return self.of_allowed < 1


def operator_error(actual: ArrayLike, golden: ArrayLike, computed_in: str) -> OperatorError:
    """What CANN's ecosystem standard says of an operator's output.

    `golden`, of the same shape, not empty, was computed in a higher precision than `computed_in`, a
    key of `OPERATOR_LIMITS`.
    """
    a, g = np.asarray(actual, float), np.asarray(golden, float)
    mean = largest = float("inf")
    if np.isfinite(a).all() and np.isfinite(g).all():
        errors = np.abs(a - g) / (np.abs(g) + _NEVER_ZERO)
        mean, largest = float(errors.mean()), float(errors.max())
    return OperatorError(computed_in, mean, largest, OPERATOR_LIMITS[computed_in])


def by_operators(finding: Mapping[str, Any]) -> dict[str, OperatorError]:
    """What the standard says of the modules of a look, as a record has it, by their names.

    Without those of which it says nothing; empty where the record is older than these figures.
    """
    found = {each["name"]: each.get("operator_error") for each in finding["modules"]}
    return {
        name: OperatorError(
            of["computed_in"], number(of["mean"]), number(of["largest"]), of["limit"]
        )
        for name, of in found.items()
        if of is not None
    }


def described(found: Mapping[str, OperatorError]) -> str:
    """How many of some modules, at least one, have an output that fails, and the worst one."""
    failed = sum(not of.accepted for of in found.values())
    name, worst = max(found.items(), key=lambda item: item[1].of_allowed)
    return (
        f"{failed} of {len(found)} modules have an output that fails in {worst.computed_in}; worst "
        f"is {name} with a mean error of {worst.mean:.1e} (below {worst.limit:.1e}) and a largest "
        f"one of {worst.largest:.1e} (below {10 * worst.limit:.1e})"
    )
