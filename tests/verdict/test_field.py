"""The field's own figures, by hand."""

from typing import Any

import numpy as np
import pytest

from semask.parity.operators import OPERATOR_LIMITS, operator_error
from semask.verdict.field import loss_difference, utilisation


def log(losses: list[float], first: int = 1) -> list[dict[str, Any]]:
    return [{"iteration": n, "loss": loss} for n, loss in enumerate(losses, first)]


def test_loss_curves_by_hand() -> None:
    theirs = log([2.0] * 10 + [1.0] * 10)
    mine = log([2.02] * 10 + [0.97] * 10)

    found = loss_difference(mine, theirs)

    assert found.mean == pytest.approx((0.01 + 0.03) / 2)
    assert found.mean_of_first == pytest.approx(0.01)
    assert found.iterations == 20
    # by their loss, not by the mean of both
    assert loss_difference(log([1.0]), log([2.0])).mean == 0.5
    assert loss_difference(log([2.0]), log([1.0])).mean == 1.0


def test_only_iterations_of_both_count_and_no_evaluations() -> None:
    paused = {"iteration": 2, "evaluation": {"miou": 1.0}, "seconds": 1.0}
    mine, theirs = [*log([1.0, 1.1]), paused, *log([1.2], first=3)], log([1.0, 3.0], first=2)
    found = loss_difference(mine, theirs)
    assert found.iterations == 2
    assert found.mean == pytest.approx((0.1 + 0.6) / 2)


def test_operators_by_hand() -> None:
    found = operator_error([1.0001, -2.0, 0.0], [1.0, -2.0, 1.0], "fp32")
    assert found.mean == pytest.approx((1e-4 + 1) / 3, rel=1e-6)
    assert found.largest == pytest.approx(1, rel=1e-6)
    # beside a zero, any rounding is large
    assert operator_error([1e-9], [0.0], "fp32").largest == pytest.approx(0.01)
    assert {name: np.log2(limit) for name, limit in OPERATOR_LIMITS.items()} == {
        "fp32": -13,
        "hf32": -11,
        "fp16": -10,
        "bf16": -7,
    }


@pytest.mark.parametrize("computed_in", [*OPERATOR_LIMITS])
def test_operators_are_accepted_by_the_mean_and_by_the_largest_error(computed_in: str) -> None:
    limit = OPERATOR_LIMITS[computed_in]
    golden = np.full((100, 10), 2.0)
    assert operator_error(golden * (1 + 0.9 * limit), golden, computed_in).accepted
    by_mean = operator_error(golden * (1 + 1.1 * limit), golden, computed_in)
    assert not by_mean.accepted
    assert by_mean.largest < 10 * limit
    outlier = golden.copy()
    outlier[3, 4] *= 1 + 9.9 * limit
    assert operator_error(outlier, golden, computed_in).accepted
    outlier[3, 4] = 2 * (1 + 10.1 * limit)
    by_largest = operator_error(outlier, golden, computed_in)
    assert not by_largest.accepted
    assert by_largest.mean < limit


def test_what_is_not_finite_is_not_accepted() -> None:
    for value in (np.nan, np.inf):
        assert not operator_error([1.0, value], [1.0, 1.0], "bf16").accepted
        assert not operator_error([1.0, 1.0], [1.0, value], "bf16").accepted


def test_utilisation_by_hand() -> None:
    # 100 GMAC forward are 600 GFLOP a step and image
    assert utilisation(100.0, 50.0, 100e12) == pytest.approx(0.3)
