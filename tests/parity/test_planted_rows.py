"""Rows that stand for another device in a demonstration: parity clears or accuses each rightly."""

from collections.abc import Mapping

import pytest

from semask.base.row_names import PLANTED_FAULTS
from semask.config.recipe import Recipe
from semask.model import VARIANTS, decoder
from semask.parity.semask_looks import Asked, look_at_row
from semask.parity.verdict import REFUTED, SHOWN, Answer, answers

from .conftest import CPU, NARROW, PLAIN, ROW, Found

MODULES, STEPS, CHANCE = "semantics: modules", "semantics: steps", "chance"
ACTIVATION = "network.backbone.layers.0.blocks.0.mlp.act (GELU"
# by fault: what is refuted of a row with one process, and what is said of it
REFUTED_OF: dict[str, dict[str, str]] = {
    "none": {},
    "gelu_tanh": {MODULES: ACTIVATION, STEPS: ""},
    "drop_path_never_fires": {CHANCE: "layers.1): bernoulli_ keeps 100.00%, where "},
    "decay_everything": {STEPS: "(spared weights)"},
    # with one process there is nothing to average: see test_two_processes.py
    "gradients_not_averaged": {},
}


@pytest.fixture(autouse=True)
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nano with few channels, and one block in each stage."""
    monkeypatch.setitem(VARIANTS, "nano", {**NARROW, "depths": (1, 1, 1, 1)})
    monkeypatch.setattr(decoder, "CHANNELS", NARROW["embed"])


def looked_at(recipe: Recipe, fault: str, *only: str) -> Mapping[str, Answer]:
    found: Found = {}
    asked = Asked(PLAIN, {**ROW, "planted_fault": fault}, CPU, seed=0, size=(32, 32), batch=2)
    look_at_row(recipe, asked, count=1, keep=found.__setitem__, only=only)
    return answers(found)


@pytest.mark.parametrize(
    ("fault", "look"),
    [
        ("gelu_tanh", "semantics"),
        ("drop_path_never_fires", "chance"),
        ("decay_everything", "semantics"),
        ("none", "chance"),
    ],
)
def test_the_look_that_finds_it(recipe: Recipe, fault: str, look: str) -> None:
    given = looked_at(recipe, fault, look)
    assert given
    for name, answer in given.items():
        expected = REFUTED_OF[fault].get(name)
        assert answer.answer == (SHOWN if expected is None else REFUTED)
        assert (expected or "") in answer.why


@pytest.mark.slow
@pytest.mark.parametrize("fault", PLANTED_FAULTS)
def test_no_other_look_accuses(recipe: Recipe, fault: str) -> None:
    given = looked_at(recipe, fault, "semantics", "chance")
    assert {*given} == {MODULES, STEPS, CHANCE}
    accused = {name for name, answer in given.items() if answer.answer != SHOWN}
    assert accused == {*REFUTED_OF[fault]}
