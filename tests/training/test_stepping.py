"""A step of the optimiser."""

from typing import Any

import pytest

from semask.config.recipe import resolve
from semask.parity import subject

from ..parity.conftest import CPU, PLAIN, ROW
from .conftest import CONFIG


def test_a_pass_that_fails_leaves_no_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = resolve(CONFIG, mode="full", processes=1, training_images=10)
    _, recipe, stepper = subject.stepper(recipe, PLAIN, CPU, ROW, 0)
    batch = subject.batch(recipe, recipe.training.global_batch, (32, 32), 0)

    def fail(*_: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(stepper.model.decode_head, "forward", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        stepper.step(1, iter([batch]))
    assert not stepper.model.backbone._forward_hooks
