"""Faults planted in a device's steps of the optimiser: the look at steps finds each."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from semask.data.inputs import network_input
from semask.model import losses, segmentation_losses
from semask.parity.verdict import REFUTED, answer, answers
from semask.training import stepping
from semask.training.optimization import scheduled_rate
from semask.training.stepping import Stepper

from .conftest import Found, Look, untouched

pytestmark = pytest.mark.usefixtures("shallow")
STEPS = 1


def groups_with(**settings: Any) -> Callable[[Stepper], None]:
    """Gives every group of the optimiser other settings."""

    def plant(stepper: Stepper) -> None:
        for group in stepper.optimizer.param_groups:
            group.update(settings)

    return plant


def gradients_doubled(stepper: Stepper) -> None:
    for parameter in stepper.model.parameters():
        parameter.register_hook(lambda gradient: 2 * gradient)


def gradients_clipped(stepper: Stepper) -> None:
    def clip(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        nn.utils.clip_grad_norm_(stepper.model.parameters(), 0.1)

    stepper.optimizer.register_step_pre_hook(clip)


def rate_of_the_step_before(stepper: Stepper) -> None:
    """What is told is right, what is done is late."""
    told = [0.0]

    def late(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        told.append(optimizer.param_groups[0]["lr"])
        for group in optimizer.param_groups:
            group["lr"] = told[-2]

    stepper.optimizer.register_step_pre_hook(late)


def half_the_rate_of_spared_weights(stepper: Stepper) -> None:
    def halve(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        optimizer.param_groups[1]["lr"] *= 0.5

    stepper.optimizer.register_step_pre_hook(halve)


def norms_momentum(stepper: Stepper) -> None:
    for module in stepper.model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.01


def variance_that_is_not_a_number(stepper: Stepper) -> None:
    """Of the last norm, after those of others."""
    *_, norm = (m for m in stepper.model.modules() if isinstance(m, nn.BatchNorm2d))
    variance = norm.get_buffer("running_var")
    stepper.optimizer.register_step_post_hook(lambda *_: variance[-1:].fill_(float("nan")))


def over_labelled_pixels(stepper: Stepper) -> None:
    def of_labelled(main: Any, semantic: Any, labels: Any, hard_pixels: Any) -> Any:
        share = (labels != losses.IGNORED).float().mean()
        made = segmentation_losses(main, semantic, labels, hard_pixels)
        return losses.SegmentationLosses(*[each / share for each in made])

    stepper._losses_of = of_labelled


# by what is wrong: the quantity that shows it, and how the stepper gets it
FAULTS: dict[str, tuple[str, Callable[[Stepper], None]]] = {
    "norms decay": ("spared weights", groups_with(weight_decay=0.05)),
    "eps of 1e-6": ("decayed weights", groups_with(eps=1e-6)),
    "beta2 of 0.99": ("second moments", groups_with(betas=(0.9, 0.99))),
    "decay in the gradient": ("first moments", groups_with(decoupled_weight_decay=False)),
    "rate of the step before": ("decayed weights", rate_of_the_step_before),
    "half the rate in one group": ("spared weights", half_the_rate_of_spared_weights),
    "gradients doubled": ("gradients", gradients_doubled),
    "gradients clipped": ("gradients", gradients_clipped),
    "batch norm's momentum": ("buffers", norms_momentum),
    "variance that is not a number": ("buffers", variance_that_is_not_a_number),
    "loss over labelled pixels": ("loss", over_labelled_pixels),
}


def stepped(look: Look, stepper: Callable[[Stepper], None] = untouched) -> Found:
    found: Found = look(stepper=stepper, steps=STEPS, modules=False)["semantics: steps"]
    return found


@pytest.mark.parametrize("fault", FAULTS)
def test_the_quantity_shows_it(look: Look, fault: str) -> None:
    quantity, plant = FAULTS[fault]
    found = stepped(look, plant)
    assert found["status"] == "failed"
    assert found["medians"][quantity] > 10
    # the first to fail, which is told before the largest ratio where that is another's
    why = answer(found).why
    named = why.partition(" by ")[0] if " by " in why else why.rpartition("(")[2].rstrip(")")
    assert named == quantity


def test_a_schedule_that_is_a_step_ahead(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        stepping, "scheduled_rate", lambda settings, i: scheduled_rate(settings, i + 1)
    )
    found = stepped(look)
    assert found["status"] == "failed"
    assert [*found["rates"]] == [31]


@pytest.mark.parametrize("fault", ["variance that is not a number", "a rate that is none"])
def test_what_is_not_a_number_can_be_kept(
    look: Look, kept: Any, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is read says the same."""
    if fault in FAULTS:
        found = {"semantics: steps": stepped(look, FAULTS[fault][1])}
    else:
        monkeypatch.setattr(stepping, "scheduled_rate", lambda *_: float("nan"))
        found = {"semantics: steps": stepped(look)}
    assert answers(found) == answers(kept(found))
    assert {answer.answer for answer in answers(found).values()} == {REFUTED}


def test_images_as_bgr(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the network's input is made: no module is given it, in the look at modules."""
    monkeypatch.setattr(
        stepping, "network_input", lambda images, sizes: network_input(images.flip(3), sizes)
    )
    found = stepped(look)
    assert found["status"] == "failed"
    assert found["medians"]["gradients"] > 10


def test_the_first_steps_of_a_long_warm_up(look: Look) -> None:
    """Whose updates are within the weights' rounding: a look there would accuse every device."""
    long = {"warmup_iterations": 1500, "warmup_ratio": 1e-6, "learning_rate": 6e-5}
    found = look(steps=STEPS, modules=False, **long)
    assert found["semantics: steps"]["status"] == "passed"


def test_a_clean_stepper_passes(look: Look) -> None:
    found = stepped(look)
    assert found["status"] == "passed"
    assert found["rates"] == {}
