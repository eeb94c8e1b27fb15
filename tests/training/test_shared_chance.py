"""Shared chance: runs on other devices and processes are held together, iteration by iteration."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .conftest import Trainer

Off = Callable[..., np.ndarray]

# so slow that rounding does not grow: at ten times the rate losses are 2e-4 apart in iteration 5
SLOW: dict[str, Any] = {"learning_rate": 1e-4, "evaluate_every": 6}
# nothing is wrong with it, and its generator draws other masks than the CPU's, as a real one does
NPU: dict[str, Any] = {"device": "npu", "planted_fault": "none"}
ROUNDING = 1e-6


@pytest.fixture(scope="module")
def off(
    data: Path,
    tmp_path_factory: pytest.TempPathFactory,
    simulated_npu: Callable[..., dict[str, str]],
) -> Off:
    """Tells how far a run's losses are off those of one process on a CPU, by iteration.

    Both are with shared chance, or both without.
    """

    def losses(shared: bool, **arguments: Any) -> np.ndarray:
        made = Trainer(data, tmp_path_factory.mktemp("run") / "run")
        made.run(parts={"numerics": {"shared_chance": shared}}, **SLOW, **arguments)
        return np.array([line["loss"] for line in made.lines() if "loss" in line])

    on_cpu = cache(losses)

    def run(
        knobs: dict[str, str] | None = None, shared: bool = True, **arguments: Any
    ) -> np.ndarray:
        there = losses(shared, environment=simulated_npu(**knobs or {}), **arguments)
        assert len(there) == 6
        return np.abs(there / on_cpu(shared) - 1)

    return run


@pytest.mark.parametrize("processes", [1, 2])
def test_losses_are_a_cpus_to_rounding(off: Off, processes: int) -> None:
    assert off(**NPU, processes=processes).max() < ROUNDING


def test_without_it_they_are_not(off: Off) -> None:
    found = off(**NPU, shared=False)
    assert found[0] > 100 * ROUNDING
    assert found.max() > 1000 * ROUNDING


def test_an_operator_that_is_off_is_seen_in_the_first(off: Off) -> None:
    knobs = {"SIMULATED_NPU_PERTURB": "aten::gelu.out=1e-2,aten::gelu=1e-2"}
    assert off(knobs, **NPU)[0] > 10 * ROUNDING


def test_gradients_that_are_not_averaged_are_seen_after_the_first_step(off: Off) -> None:
    found = off(device="npu", processes=2, planted_fault="gradients_not_averaged")
    assert found[0] < ROUNDING
    assert found[1] > 100 * ROUNDING
