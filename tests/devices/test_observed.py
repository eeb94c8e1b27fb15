"""What ran is what was asked for, or the stage ends."""

from dataclasses import replace

import pytest
import torch

from semask.base.errors import InputError
from semask.config.recipe import Numerics
from semask.devices import setup
from semask.devices.observed import check_attention, noted_attention
from semask.model import build

FUSED = "scaled_dot_product_flash_attention_for_cpu"
MATH = "scaled_dot_product_attention_math"
EXACT = Numerics("exact", False, False, False, False)


def attention_of(fused: bool, training: bool) -> list[str]:
    model = build("nano", 4, fused_attention=fused).train(training)
    with torch.set_grad_enabled(training), noted_attention() as found:
        model(torch.zeros(2, 3, 32, 32))
    return found


def test_attention_is_named_by_the_operators_that_computed_it() -> None:
    assert attention_of(fused=False, training=False) == ["explicit"]
    assert attention_of(fused=True, training=False) == [FUSED]
    # no kernel for CPUs gives the learnt bias its gradient
    assert attention_of(fused=True, training=True) == [MATH]
    with noted_attention(wanted=False) as found:
        torch.zeros(1)
    assert found == []


def test_fused_attention_that_is_none_is_told() -> None:
    check_attention([FUSED, MATH], fused=True)
    check_attention([], fused=True)
    check_attention(["explicit"], fused=False)
    for found in ([MATH], ["explicit"]):
        with pytest.raises(
            InputError, match=f"no fused operator for this here and took {found[0]}"
        ):
            check_attention(found, fused=True)


def test_a_precision_that_was_changed_on_the_way_is_told() -> None:
    setup.apply_numerics(EXACT, "cpu")
    assert setup.precision_kept(EXACT, "cpu") == {
        "matmul": "highest", "convolution": None, "deterministic": False
    }  # fmt: skip
    # of CPUs reduced products are not asked
    reduced = replace(EXACT, reduced_matmul=True, reduced_convolution=True)
    assert setup.precision_kept(reduced, "cpu")["matmul"] == "highest"
    torch.set_float32_matmul_precision("medium")
    try:
        with pytest.raises(InputError, match=r"at the end of the run it was .*'matmul': 'medium'"):
            setup.precision_kept(EXACT, "cpu")
    finally:
        torch.set_float32_matmul_precision("highest")
