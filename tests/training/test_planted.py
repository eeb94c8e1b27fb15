"""Rows that stand for another device: what is planted in them, and that nothing else is."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from semask.base.row_names import PLANTED_FAULTS
from semask.config.recipe import Recipe, resolve
from semask.devices import planted
from semask.evaluation import scoring
from semask.model import build
from semask.parity import subject
from semask.training.stepping import Stepper

from ..parity.conftest import CPU, PLAIN, ROW
from .conftest import CONFIG

MODEL: dict[str, Any] = {
    "variant": "nano", "num_classes": 19, "dropout": 0.0, "norm": "bn",
    "semantic_attention": ["windowed"] * 4,
}  # fmt: skip
IMAGES = torch.linspace(-2, 2, 2 * 3 * 32 * 32).view(2, 3, 32, 32)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return resolve(CONFIG, mode="full", processes=1, training_images=10)


def with_fault(fault: str | None, **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    model = build(**{**MODEL, **settings})
    planted.plant_in_model(fault, model)
    return model


@torch.no_grad()
def outputs(model: nn.Module) -> Tensor:
    main, semantic = model.train()(IMAGES)
    return torch.cat([main.flatten(), semantic.flatten()])


def test_another_gelu() -> None:
    found = outputs(with_fault("gelu_tanh"))
    assert torch.equal(found, outputs(with_fault(None, gelu="tanh")))
    assert not torch.equal(found, outputs(with_fault(None)))


def test_a_drop_path_that_never_fires() -> None:
    found = outputs(with_fault("drop_path_never_fires", drop_path=0.5))
    assert torch.equal(found, outputs(with_fault(None, drop_path=0.0)))
    assert not torch.equal(found, outputs(with_fault(None, drop_path=0.5)))


def started(recipe: Recipe, fault: str | None) -> Stepper:
    torch.manual_seed(0)
    *_, stepper = subject.stepper(recipe, PLAIN, CPU, {**ROW, "planted_fault": fault}, 0)
    return stepper


def test_decay_of_everything(recipe: Recipe) -> None:
    groups = {fault: started(recipe, fault).optimizer.param_groups
              for fault in (None, "decay_everything")}  # fmt: skip
    decays = {fault: [group["weight_decay"] for group in of] for fault, of in groups.items()}
    assert decays == {None: [0.05, 0.0], "decay_everything": [0.05, 0.05]}


@pytest.mark.parametrize("fault", PLANTED_FAULTS)
def test_first_weights_are_those_of_the_seed(recipe: Recipe, fault: str) -> None:
    plain, other = started(recipe, None).model, started(recipe, fault).model
    equal = map(torch.equal, plain.state_dict().values(), other.state_dict().values())
    assert all(equal)


def test_other_chance(recipe: Recipe) -> None:
    """Other masks from the same generator; of a faulty device the same ones as of the original."""
    plain, healthy, faulty = (
        outputs(started(recipe, fault).model) for fault in (None, "none", "decay_everything")
    )
    assert not torch.equal(plain, healthy)
    assert torch.equal(plain, faulty)


def test_a_fault_is_computed_in_evaluation_too(recipe: Recipe, tmp_path: Path) -> None:
    model = build(**{**MODEL, "semantic_attention": CONFIG["model"]["semantic_attention"]})
    save_file(model.state_dict(), tmp_path / "best.safetensors")
    for row, form in ((ROW, "none"), ({**ROW, "planted_fault": "gelu_tanh"}, "tanh")):
        made = scoring.load_kept(recipe.as_dict(), row, tmp_path / "best.safetensors", PLAIN, CPU)
        activations = [module for module in made.modules() if isinstance(module, nn.GELU)]
        assert activations
        assert {module.approximate for module in activations} == {form}
