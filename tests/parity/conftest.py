"""Looks at SeMask-FPN nano on a CPU, on which a test may spoil what stands for the device."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from semask.base.records import read_record, write_record
from semask.comparison.recomputed import check_parity
from semask.config.recipe import Execution, Recipe, resolve
from semask.model import VARIANTS, decoder
from semask.parity import semask_looks, subject
from semask.parity.semask_looks import Asked, look_at_row
from semask.training.stepping import Stepper
from workflow_scripts.parity import _as_json

from ..training.conftest import CONFIG

CPU = torch.device("cpu")
ROW = {"device": "cpu", "processes": 1, "threads": 1}
PLAIN = Execution(compile=False, fused_attention=False, checkpointing=False)
SIZE = 64, 64
NARROW: dict[str, Any] = {
    "embed": 16, "depths": (2, 2, 2, 2), "heads": (1, 2, 4, 8), "window": 7
}  # fmt: skip
# of every kind of module one at least, and windows that are shifted
SHALLOW = {**NARROW, "depths": (2, 1, 1, 1)}

Found = dict[str, Any]
Look = Callable[..., Found]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """Nano with windows and a whole map, chance and synchronised norms; two images a step."""
    made = resolve(CONFIG, mode="full", processes=1, training_images=1000)
    return replace(made, training=replace(made.training, iterations=4000, warmup_iterations=30))


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same model with few channels, where a look is run dozens of times."""
    monkeypatch.setitem(VARIANTS, "nano", NARROW)
    monkeypatch.setattr(decoder, "CHANNELS", NARROW["embed"])


@pytest.fixture
def shallow(narrow: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The narrow model with few blocks, too."""
    monkeypatch.setitem(VARIANTS, "nano", SHALLOW)


def untouched(_: Any) -> None:
    """What a clean device is spoilt by."""


@pytest.fixture
def look(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> Look:
    """Looks at a row whose model, or whose stepper, was spoilt."""
    model_of, stepper_of = subject.device_training, subject.stepper

    def run(
        model: Callable[[nn.Module], None] = untouched,
        stepper: Callable[[Stepper], None] = untouched,
        *,
        execution: Execution = PLAIN,
        precision: str = "fp32",
        only: str = "semantics",
        size: tuple[int, int] = SIZE,
        steps: int = 0,
        modules: bool = True,
        seed: int = 0,
        **training: Any,
    ) -> Found:
        def spoilt_model(*args: Any) -> nn.Module:
            made = model_of(*args)
            model(made)
            return made

        def spoilt_stepper(*args: Any) -> Any:
            *others, made = stepper_of(*args)
            stepper(made)
            return *others, made

        if not modules:
            monkeypatch.setattr(semask_looks, "_modules", lambda *_, **__: {})
        monkeypatch.setattr(subject, "device_training", spoilt_model)
        monkeypatch.setattr(subject, "stepper", spoilt_stepper)
        settings = replace(recipe.training, precision=precision, **training)
        found: Found = {}
        look_at_row(
            replace(recipe, training=settings), Asked(execution, ROW, CPU, seed, size, batch=2),
            count=steps, keep=found.__setitem__, only=(only,),
        )  # fmt: skip
        return found

    return run


@pytest.fixture
def kept(tmp_path: Path, make_record: Any) -> Callable[[Found], dict[str, Any]]:
    """Findings as they are read again from a record that was checked."""

    def through_record(found: Found) -> dict[str, Any]:
        content, path = make_record("parity"), tmp_path / "parity.json"
        content["figures"]["looks"] = _as_json(found)
        write_record(path, "parity", **content)
        record = read_record(path, "parity")
        check_parity(path, record)
        looks: dict[str, Any] = record["figures"]["looks"]
        return looks

    return through_record


def ratios(found: Found) -> dict[str, float]:
    """The largest ratio of each module; infinite where its calls differ."""
    return {
        each["name"]: each["worst"]["ratio"]
        if each["worst"]
        else float("inf" if each["fault"] else 0)
        for each in found["modules"]
    }


def statuses(found: Found) -> dict[str, str]:
    """Of each module that did not pass."""
    return {each["name"]: each["status"] for each in found["modules"] if each["status"] != "passed"}
