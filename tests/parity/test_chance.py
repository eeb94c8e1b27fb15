"""Generators of a device that draw otherwise than they are asked to."""

from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from semask.config.recipe import Recipe
from semask.parity import chance, reference, subject
from semask.parity.chance import Site

DROPOUT = "dropout2d"
DROP_PATH = "bernoulli_"
IMAGES = reference.images((32, 3, 32, 32), 0)


class Generator(TorchFunctionMode):
    """A device's generator, whose functions are others.

    Args:
        functions: of torch, and what is called in their place: with the function as first argument.
    """

    def __init__(self, functions: dict[Any, Callable[..., Tensor]]):
        super().__init__()
        self.functions = functions

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self.functions:
            return self.functions[func](func, *args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def never_dropping(_: Any, x: Tensor, p: float) -> Tensor:
    return x.fill_(1)


def of_another_rate(func: Any, x: Tensor, p: float, training: bool, **_: Any) -> Tensor:
    return func(x, p + 0.02, training)


def alike_for_all_samples(func: Any, x: Tensor, p: float, training: bool, **_: Any) -> Tensor:
    return func(x[:1], p, training).expand_as(x)


def looked_at(
    recipe: Recipe,
    generator: Any = None,
    plant: Callable[[nn.Module], None] = lambda model: None,
    seed: Callable[[], Any] = lambda: None,
) -> list[Site]:
    model = subject.as_trained(recipe, 0)
    expected = chance.draw(model, lambda m: m(IMAGES[:2]), times=1)[0]
    device = deepcopy(model)
    plant(device)

    def run(module: nn.Module) -> Any:
        seed()
        return module(IMAGES)

    torch.manual_seed(1)
    with generator or nullcontext():
        return chance.look(expected, chance.draw(device, run))


def faults(sites: list[Site]) -> set[tuple[str, str]]:
    return {(site.function, site.fault) for site in sites if site.fault}


def test_a_clean_generator_passes(recipe: Recipe) -> None:
    sites = looked_at(recipe)
    # two branches of each block but the first, semantic dropout of each stage, the decoder's
    assert [site.function for site in sites].count(DROP_PATH) == 14
    assert len(sites) == 14 + 4 + 1
    assert faults(sites) == set()


@pytest.mark.parametrize(
    ("functions", "function", "fault"),
    [
        ({Tensor.bernoulli_: never_dropping}, DROP_PATH, "keeps 100.00%, where "),
        ({F.dropout2d: of_another_rate}, DROPOUT, "keeps 8"),
        (
            {F.dropout2d: alike_for_all_samples},
            DROPOUT,
            "is not independent between samples",
        ),
    ],
)
def test_a_faulty_function(
    recipe: Recipe, functions: dict[Any, Any], function: str, fault: str
) -> None:
    sites = looked_at(recipe, Generator(functions))
    assert any(name == function and said.startswith(fault) for name, said in faults(sites))
    assert {name for name, _ in faults(sites)} == {function}


def test_a_generator_that_is_seeded_anew_in_each_pass(recipe: Recipe) -> None:
    sites = looked_at(recipe, seed=lambda: torch.manual_seed(7))
    assert (DROPOUT, "is not independent between passes") in faults(sites)


def without_drop_path(model: nn.Module) -> None:
    for stage in model.get_submodule("backbone.layers"):
        stage.drop_path = [0.0] * len(stage.blocks)


def test_drop_path_that_is_left_out(recipe: Recipe) -> None:
    [site] = looked_at(recipe, plant=without_drop_path)
    assert (site.number, site.module) == (1, "backbone.layers.0")
    assert site.fault == "is dropout that keeps 0.9, not bernoulli_ that keeps 0.985714"


def test_a_module_of_another_rate(recipe: Recipe) -> None:
    [site] = looked_at(recipe, plant=lambda model: setattr(model.decode_head.dropout, "p", 0.2))
    assert (site.number, site.module) == (19, "decode_head.dropout")
    assert site.fault == "is dropout2d that keeps 0.8, not dropout2d that keeps 0.9"
