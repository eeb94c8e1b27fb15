"""Same weights on two devices: what a record shows."""

import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from semask.parity.verdict import REFUTED, SHOWN, UNDECIDED
from semask.verdict.same_weights import FLIPS, answer, computed_with


def record(
    share: float, low: float, high: float, precision: str = "fp32", reduced: bool = False
) -> dict[str, Any]:
    return {
        "recipe": {
            "training": {"precision": precision},
            "numerics": {"reduced_matmul": reduced, "reduced_convolution": False},
        },
        "figures": {
            "labelled_pixels": 2_000_000,
            "flips": {"pixels": int(share * 2_000_000), "share": share},
            "difference": {"miou": (low + high) / 2, "interval": [low, high]},
            "bootstrap": {"level": 0.95},
        },
    }


@pytest.mark.parametrize(
    ("found", "said", "why"),
    [
        # measured: honest kernels
        (record(5.5e-7, 0, 0.0001), SHOWN, "within ±0.05"),
        (record(0, 0, 0), SHOWN, "0 of 2,000,000 labelled pixels get another class; mIoU"),
        (record(6.6e-4, -0.0077, 0.007, "bf16"), SHOWN, "within ±0.05"),
        (record(1.1e-4, -0.0023, 0.0015, "fp16"), SHOWN, "within ±0.05"),
        (record(2.9e-4, -0.0032, 0.0034, reduced=True), SHOWN, "within ±0.05"),
        # measured: GELU in its tanh form, and x·sigmoid(1.702x)
        (record(4.9e-5, -0.001, 0.0016), UNDECIDED, "rounding in fp32 makes less than 1e-05"),
        (record(3.6e-3, -0.0986, -0.0375), UNDECIDED, "look at the device's modules"),
        (record(3.9e-3, -0.0976, -0.0358, "bf16"), UNDECIDED, "not within ±0.05"),
        # measured: corners aligned
        (record(0.121, -4.4577, -3.5513), REFUTED, "no rounding makes more than 1e-02"),
        (record(5e-3, -0.8, -0.6), REFUTED, "-0.800 to -0.600, beyond ±0.5"),
        # an interval that reaches over the margin decides nothing
        (record(5e-6, -0.6, 0.1), UNDECIDED, "more images would narrow"),
    ],
)
def test_answers(found: dict[str, Any], said: str, why: str) -> None:
    given = answer(found)
    assert given.answer == said
    assert why in given.why


def test_the_margin_is_the_configs() -> None:
    found = record(5e-3, 0.6, 0.8)
    assert answer(found, 0.5).answer == REFUTED
    assert answer(found, 1.0).answer == UNDECIDED


def test_products_of_fewer_bits_are_another_thing_than_fp32() -> None:
    assert computed_with(record(0, 0, 0)["recipe"]) == "fp32"
    assert computed_with(record(0, 0, 0, reduced=True)["recipe"]) == "reduced"
    assert computed_with(record(0, 0, 0, "bf16", reduced=True)["recipe"]) == "bf16"


def test_limits_are_the_documented_ones() -> None:
    page = (Path(__file__).parents[2] / "docs/verdict.md").read_text(encoding="utf-8")
    found: dict[str, set[float]] = {}
    for computed, limit in re.findall(r"^\| (fp32|fp16|bf16|TF32)\b.* \| ([^|]+) \|$", page, re.M):
        factor, _, power = limit.rpartition("10⁻")
        number = float(factor.rstrip(" ×") or 1) / 10 ** int(unicodedata.normalize("NFKC", power))
        found.setdefault({"TF32": "reduced"}.get(computed, computed), set()).add(number)
    assert found == {computed: {limit} for computed, limit in FLIPS.items()}
