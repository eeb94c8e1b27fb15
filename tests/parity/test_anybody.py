"""Looks at other people's models: clean ones pass, and a fault's module is named."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semask.base import compat  # noqa: F401  (before timm)
from semask.base.errors import InputError
from semask.parity.anybody import look_at_model, made, named
from semask.parity.verdict import NOT_RUN, UNDECIDED, Answer, answers

from .conftest import CPU, Found, ratios, statuses, untouched
from .test_planted_faults import Scaled, overridden, setting

import timm  # isort: skip


def of_timm(name: str, **settings: Any) -> Callable[[], nn.Module]:
    # five classes: the classifier of a thousand is the largest part of a small model
    return lambda: timm.create_model(name, num_classes=5, **settings)


def looked_at(
    factory: Callable[[], nn.Module],
    *shapes: tuple[int, ...],
    fault: Callable[[nn.Module], None] = untouched,
    precision: str = "fp32",
) -> Found:
    found: Found = {}
    look_at_model(
        made(factory, "a model", 0), shapes, CPU, sabotage=fault, precision=precision,
        keep=found.__setitem__,
    )  # fmt: skip
    return found


def backward_too_large(_: Any, usual: Callable[..., Tensor], x: Tensor) -> Tensor:
    return Scaled.apply(usual(x))


def in_(path: str, fault: Callable[[nn.Module], None]) -> Callable[[nn.Module], None]:
    return lambda model: fault(model.get_submodule(path))


SMALL = (2, 3, 64, 64)
# by name: how it is made, its input, a module, and what is wrong with it on the device
MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str, Any]] = {
    "resnet18": (of_timm("resnet18"), SMALL, "layer2.0.bn1", setting("eps", 1e-3)),
    "efficientnet_b0": (
        of_timm("efficientnet_b0"),
        SMALL,
        "blocks.2.0.conv_pw",
        overridden(forward=backward_too_large),
    ),
    "mobilenetv3_small_100": (
        of_timm("mobilenetv3_small_100"),
        SMALL,
        "blocks.2.0.bn1.act",
        overridden(forward=lambda _, __, x: x * torch.sigmoid(1.5 * x)),
    ),
    "convnext_atto": (
        of_timm("convnext_atto"),
        SMALL,
        "stages.1.blocks.0.mlp.act",
        overridden(forward=lambda _, __, x: F.gelu(x, approximate="tanh")),
    ),
    "vit_tiny": (
        of_timm("vit_tiny_patch16_224", img_size=64, depth=4),
        SMALL,
        "blocks.2.norm1",
        setting("eps", 1e-3),
    ),
    "swin_tiny": (
        of_timm("swin_tiny_patch4_window7_224", img_size=56, embed_dim=24, depths=(2, 2, 2, 2)),
        (2, 3, 56, 56),
        "layers.1.blocks.1.attn",
        setting("scale", 0.2),
    ),
}


# what works in place cannot be left out of its caller, which hence fails with it
CALLERS = {"mobilenetv3_small_100": {"blocks.2.0.bn1"}}
LONG = ("resnet18", "efficientnet_b0", "convnext_atto")


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_clean_one_passes(name: str) -> None:
    factory, shape, _, _ = MODELS[name]
    found = looked_at(factory, shape)
    assert statuses(found["modules"]) == {}
    assert found["chance"]["faults"] == []


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if n in LONG else ()) for n in MODELS],
)
def test_a_fault_is_named_and_all_else_passes(name: str) -> None:
    factory, shape, path, fault = MODELS[name]
    looks = looked_at(factory, shape, fault=in_(path, fault))
    found = looks["modules"]
    assert found["guilty"] == path
    assert statuses(found) == dict.fromkeys({path, *CALLERS.get(name, ())}, "failed")
    assert ratios(found)[path] > 10
    assert looks["chance"]["faults"] == []


class WithDict(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Any]:
        shared = F.gelu(self.body(x) + y)
        return OrderedDict(out=self.head(shared), more={"aux": shared.square()}, size=len(x))


class Twice(nn.Module):
    """One layer in two places, and in place of the second a wrong device has another."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.act(self.layer(x)))


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(8, 8), nn.Linear(8, 8)
        self.lonely = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x).tanh()


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.again = nn.Linear(8, 8), nn.Linear(8, 8)
        self.again.weight = self.used.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.again(F.gelu(self.used(x)))


class PartlyFrozen(Unused):
    def __init__(self) -> None:
        super().__init__()
        self.unused.requires_grad_(False)
        self.used.bias.requires_grad_(False)


PAIR = (4, 8), (4, 8)


@pytest.mark.parametrize(
    ("factory", "shapes", "path", "name"),
    [
        (WithDict, PAIR, "head", "head"),
        (Twice, PAIR[:1], "layer", "layer"),
        (Unused, PAIR[:1], "used", "used"),
        (Tied, PAIR[:1], "again", "again"),
        (PartlyFrozen, PAIR[:1], "used", "used"),
    ],
)
def test_unusual_models(
    factory: Callable[[], nn.Module], shapes: Any, path: str, name: str
) -> None:
    clean = looked_at(factory, *shapes)["modules"]
    assert statuses(clean) == {}
    fault = in_(path, overridden(forward=backward_too_large))
    found = looked_at(factory, *shapes, fault=fault)["modules"]
    assert found["guilty"] == name
    assert {each.split(" call")[0] for each in found["failed"]} == {path}


def test_both_calls_of_a_module_are_looked_at() -> None:
    found = looked_at(Twice, (4, 8))["modules"]
    assert [*ratios(found)] == ["layer", "act", "layer call 2", "(whole)"]


def skipping(module: Any, _: Any, x: Tensor) -> Tensor:
    return module.layer(x).relu()


def test_a_call_that_is_left_out() -> None:
    found = looked_at(Twice, (4, 8), fault=overridden(forward=skipping))["modules"]
    [whole] = [each for each in found["modules"] if each["status"] == "failed"]
    assert whole["name"] == "(whole)"
    assert whole["fault"] == "no call of layer, and its numbers differ"


class OwnChance(nn.Module):
    """Its dropout is not torch's, so that no two devices drop the same."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.drop = nn.Linear(8, 8), OwnDropout()

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.layer(x))


class OwnDropout(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * (torch.rand_like(x) > 0.3)


@pytest.mark.parametrize(
    ("factory", "name"),
    [
        (OwnChance, "drop"),
        (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), "self_attn"),
    ],
)
def test_chance_that_cannot_be_shared(factory: Callable[[], nn.Module], name: str) -> None:
    """A yardstick of other draws would let everything pass."""
    found = looked_at(factory, (4, 8, 8))
    assert statuses(found["modules"]) == {name: "looked at"}
    answer, why = answers(found)["modules"]
    assert answer == UNDECIDED
    assert why.startswith(f"to be looked at: {name} (")
    assert why.endswith("): it draws at random by itself; give it a probability of 0")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision(precision: str) -> None:
    found = looked_at(Twice, (4, 8), precision=precision)["modules"]
    assert statuses(found) == {}


def failing() -> nn.Module:
    raise KeyError("weights")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nowhere.at_all:model",
            "--model nowhere.at_all:model: No module named 'nowhere'; give "
            "package.module:function, with the package's folder on PYTHONPATH",
        ),
        (
            "json:model",
            "--model json:model: json has no model; give package.module:function",
        ),
        ("json", "--model json: json has no function given; give package.module:function"),
        (":model", "--model :model: nothing has no model; give package.module:function"),
        ("", "--model : nothing has no function given; give package.module:function"),
    ],
)
def test_names_of_nothing(name: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        named(name, "--model")
    assert str(caught.value) == message


def test_a_name() -> None:
    assert named("torch.nn:Linear", "--model") is nn.Linear


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (failing, "--model m: KeyError: 'weights'"),
        (
            lambda: 3,
            "--model m: returned int, not a torch.nn.Module; give a function without arguments "
            "that returns the model",
        ),
        (
            lambda x: x,
            "--model m: TypeError: <lambda>() missing 1 required positional argument: 'x'",
        ),
    ],
)
def test_what_makes_no_model(factory: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        made(factory, "m", 0)
    assert str(caught.value).replace("test_what_makes_no_model.", "") == message


def test_a_made_model() -> None:
    model = made(lambda: nn.Linear(2, 2).half().eval(), "m", 0)
    assert model.training
    assert model.weight.dtype == torch.float64


class Nothing(nn.Module):
    def forward(self, x: Tensor) -> str:
        return "nothing"


@pytest.mark.parametrize(
    ("model", "shapes", "begins"),
    [
        (
            nn.Linear(8, 2),
            [(4, 7)],
            "--input 4x7: the model cannot take it, in float64 on the CPU (RuntimeError: mat1",
        ),
        (
            nn.Linear(8, 2),
            [(4, 8), (4, 8)],
            "--input 4x8 4x8: the model cannot take it, in float64 on the CPU (TypeError: ",
        ),
        (
            nn.Linear(8, 2).requires_grad_(False),
            [(4, 8)],
            "--model: no gradient flows from the loss to a parameter; give one that learns",
        ),
        (Nothing(), [(4, 8)], "--model: it returned no tensor of floating numbers that a loss"),
    ],
)
def test_inputs_that_the_model_cannot_take(
    model: nn.Module, shapes: list[tuple[int, ...]], begins: str
) -> None:
    found: Found = {}
    with pytest.raises(InputError) as caught:
        look_at_model(model.double(), shapes, CPU, keep=found.__setitem__)
    assert str(caught.value).startswith(begins)
    assert "\n" not in str(caught.value)
    assert found == {}


def test_a_loss_that_is_no_scalar() -> None:
    with pytest.raises(InputError, match=r"^--loss: it returned no single floating number"):
        look_at_model(
            nn.Linear(8, 2).double(), [(4, 8)], CPU, loss=lambda out: out, keep=lambda *_: None
        )


@pytest.mark.parametrize("faulty", [False, True])
def test_what_was_found_before_the_device_failed_is_kept(faulty: bool) -> None:
    ran: list[Tensor] = []

    def fail_by_itself(_: Any, usual: Callable[..., Tensor], x: Tensor) -> Tensor:
        ran.append(x)
        if len(ran) > 1:  # not within the whole model
            raise torch.OutOfMemoryError("out of memory\nmore of it")
        return usual(x)

    def plant(model: nn.Module) -> None:
        overridden(forward=fail_by_itself)(model.get_submodule("2"))
        if faulty:
            setting("approximate", "tanh")(model.get_submodule("1"))

    parts = nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 5)
    found = looked_at(lambda: nn.Sequential(*parts), (2, 8), fault=plant)
    looked = found["modules"]
    assert [each["name"] for each in looked["modules"]] == ["0", "1"]
    assert looked["stopped"] == "OutOfMemoryError: out of memory; 2 of 4 modules were looked at"
    # a failure is one on several inputs, and the device's whole pass fails on the others
    assert statuses(looked) == ({"1": "looked at"} if faulty else {})
    given = answers(found)
    assert given["modules"] == Answer(NOT_RUN, looked["stopped"])
    assert given["chance"].answer == NOT_RUN
