import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from semask.config.recipe import TrainingRecipe
from semask.data.transforms import Augmentation
from semask.model import build
from semask.training.optimization import build_optimizer, scheduled_rate

RECIPE = TrainingRecipe(
    iterations=80000,
    evaluate_every=None,
    global_batch=8,
    accumulation=1,
    learning_rate=1e-3,
    weight_decay=0.05,
    warmup_iterations=1500,
    warmup_ratio=1e-6,
    precision="fp32",
    hard_pixels=None,
    shuffle_labels=False,
    augmentation=Augmentation((64, 64), None, (64, 64), False),
)


@pytest.mark.parametrize(
    ("name", "base", "ratio"),
    [
        ("ref_tiny_small_large", 1e-3, 1e-5),
        ("ref_base", 1e-3, 1e-6),
        ("ascend_small", 3e-4, 1e-6),
    ],
)
def test_learning_rate_equals_the_original(
    oracle: Path, name: str, base: float, ratio: float
) -> None:
    known = json.loads((oracle / "lr.json").read_text(encoding="utf-8"))[name]
    assert len(known) > 5
    settings = replace(RECIPE, learning_rate=base, warmup_ratio=ratio)
    for iteration, expected in known.items():
        # the records count from 0
        found = scheduled_rate(settings, int(iteration) + 1)
        assert found == pytest.approx(expected, rel=1e-10)


def test_schedules_are_those_of_the_configurations(oracle: Path) -> None:
    """The rates and ratios that the test above pairs with the records."""
    configurations = json.loads((oracle / "configs.json").read_text(encoding="utf-8"))
    cityscapes = {
        (c["src"], c["variant"]): (c["lr"], c["warmup_ratio"], c["warmup_iters"])
        for c in configurations
        if c["dataset"] == "cityscapes"
    }
    for variant in ("tiny", "small", "large"):
        assert cityscapes["ref", variant] == (1e-3, 1e-5, 1500)
    assert cityscapes["ref", "base"] == (1e-3, 1e-6, 1500)
    assert cityscapes["ascend", "small"] == (3e-4, 1e-6, 1500)


def test_no_warm_up() -> None:
    settings = replace(RECIPE, learning_rate=0.1, iterations=10, warmup_iterations=0)
    assert scheduled_rate(settings, 1) == 0.1


def test_groups_spare_norms_and_bias_tables_only() -> None:
    model = build("nano", 19)
    optimizer = build_optimizer(model, learning_rate=1e-3, weight_decay=0.05)
    decay = {
        id(parameter): group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    names = dict(model.named_parameters())
    assert len(decay) == len(names)
    spared = {name for name, parameter in names.items() if decay[id(parameter)] == 0}
    assert all(decay[id(names[name])] == 0.05 for name in names.keys() - spared)
    assert any("relative_position_bias_table" in name for name in spared)
    assert any(".norm1.weight" in name for name in spared)
    # batch norms, biases and gamma decay, as in the original
    for part in ("bn.weight", "bn.bias", "qkv.bias", "conv_seg.bias", "gamma"):
        assert any(name.endswith(part) for name in names)
        assert not any(name.endswith(part) for name in spared)


def spared_and_decayed(optimizer: torch.optim.AdamW, model: nn.Module) -> tuple[set[str], set[str]]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for group in optimizer.param_groups:
        found[group["weight_decay"] == 0] |= {names.pop(id(p)) for p in group["params"]}
    assert names == {}  # every parameter is in a group, and in one only
    return found[True], found[False]


@pytest.mark.parametrize("variant", ["tiny", "small", "base", "large"])
def test_groups_are_those_of_the_original_names(oracle: Path, variant: str) -> None:
    recorded = json.loads((oracle / f"{variant}_c19.keys.json").read_text(encoding="utf-8"))[
        "state_dict"
    ]
    buffers = ("running_mean", "running_var", "num_batches_tracked", "relative_position_index")
    parameters = {name for name in recorded if not name.endswith(buffers)}
    with torch.device("meta"):
        model = build(variant, 19)
    optimizer = build_optimizer(model, learning_rate=1e-3, weight_decay=0.05)

    spared, decayed = spared_and_decayed(optimizer, model)

    assert spared == {n for n in parameters if "norm" in n or "relative_position_bias_table" in n}
    assert decayed == parameters - spared
    blocks = {"tiny": 12}.get(variant, 24)
    # two norms and a table per block; patch embedding, 3 mergings, 4 semantic and 4 output norms
    assert len(spared) == 5 * blocks + 2 * 12


def test_everything_decays_where_the_port_is_followed() -> None:
    with torch.device("meta"):
        model = build("nano", 19)
    optimizer = build_optimizer(model, learning_rate=1e-3, weight_decay=0.05, decay_everything=True)

    spared, decayed = spared_and_decayed(optimizer, model)

    assert spared == set()
    assert decayed == {name for name, _ in model.named_parameters()}


def test_adamw_is_that_of_every_configuration(oracle: Path) -> None:
    model = nn.Linear(2, 2)
    configurations = json.loads((oracle / "configs.json").read_text(encoding="utf-8"))
    assert len(configurations) >= 13
    for known in configurations:
        optimizer = build_optimizer(model, learning_rate=known["lr"], weight_decay=known["wd"])
        for group in optimizer.param_groups:
            assert group["betas"] == tuple(known["betas"])
            assert group["lr"] == known["lr"]
            assert group["eps"] == 1e-8
            assert not group["amsgrad"]
        assert optimizer.param_groups[0]["weight_decay"] == known["wd"]


@pytest.mark.parametrize("everything", [False, True])
def test_one_step_is_adamw_by_hand(everything: bool) -> None:
    model = nn.Sequential()
    model.add_module("norm", nn.LayerNorm(3))
    model.add_module("mlp", nn.Linear(3, 3))
    gradients = {}
    before = {}
    for i, (name, parameter) in enumerate(model.named_parameters()):
        generator = torch.Generator().manual_seed(i)
        parameter.data = torch.randn(parameter.shape, generator=generator) + 2
        parameter.grad = torch.randn(parameter.shape, generator=generator)
        before[name], gradients[name] = parameter.detach().clone(), parameter.grad.clone()
    optimizer = build_optimizer(
        model, learning_rate=0.01, weight_decay=0.5, decay_everything=everything
    )

    optimizer.step()

    for name, parameter in model.named_parameters():
        decay = 0.5 if everything or "norm" not in name else 0.0
        # after one step both moments are the gradient's own
        step = gradients[name] / (gradients[name].abs() + 1e-8)
        expected = before[name] * (1 - 0.01 * decay) - 0.01 * step
        torch.testing.assert_close(parameter.detach(), expected)
