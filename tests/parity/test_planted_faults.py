"""Faults planted in one module of a device's model: each is found, and the module named."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semask.model import VARIANTS, losses
from semask.model.backbone import FastGELU

from .conftest import NARROW, Look, ratios, statuses

pytestmark = pytest.mark.usefixtures("shallow")

BLOCK = "network.backbone.layers.0.blocks.1"
ATTENTION = f"{BLOCK}.attn"
SEMANTIC = "network.backbone.layers.0.semantic_layer.class_injection.0"
MERGING = "network.backbone.layers.1.downsample"
NORM = "network.decode_head.scale_heads.2.0.bn"
UPSAMPLE = "network.decode_head.scale_heads.3.1"


def overriding(module: Any, **methods: Callable[..., Any]) -> None:
    """Gives a module methods in place of its class's, which they get as their second argument."""
    of = type(module)

    def method(by: Callable[..., Any], name: str) -> Callable[..., Any]:
        return lambda self, *args: by(self, getattr(super(of_fault, self), name), *args)

    of_fault = type(of.__name__, (of,), {})
    for name, by in methods.items():
        assert hasattr(of, name), name  # who overrides nothing plants nothing
        setattr(of_fault, name, method(by, name))
    module.__class__ = of_fault


def overridden(**methods: Callable[..., Any]) -> Callable[[nn.Module], None]:
    return lambda module: overriding(module, **methods)


def setting(name: str, value: Any) -> Callable[[nn.Module], None]:
    return lambda module: setattr(module, name, value)


def fast_gelu(module: nn.Module) -> None:
    module.__class__ = FastGELU


class Scaled(torch.autograd.Function):
    """The identity, whose gradient is 1 % too large."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * 1.01


def in_half(_: Any, usual: Callable[..., Tensor], x: Tensor) -> Tensor:
    return usual(x.half()).to(x.dtype)


def keys_in_half(module: Any, _: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    q, k, v = module.mlp_cls_q(x), module.mlp_cls_k(x), module.mlp_v(x)
    scores = q @ k.half().to(k.dtype).transpose(-2, -1)
    return module.gamma * module.drop(module.mlp_res(scores.softmax(-1) @ v)) + x, q


def merged_row_by_row(module: Any, _: Any, x: Tensor) -> Tensor:
    """Neighbours in the order (0,0), (0,1), (1,0), (1,1)."""
    x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
    x = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).permute(0, 1, 3, 2, 4, 5).flatten(3)
    return module.reduction(module.norm(x))


def biased_variance(module: Any, _: Any, x: Tensor) -> Tensor:
    variance, mean = torch.var_mean(x.detach(), (0, 2, 3), correction=0)
    module.running_mean.lerp_(mean, module.momentum)
    module.running_var.lerp_(variance, module.momentum)
    module.num_batches_tracked += 1
    return F.batch_norm(x, None, None, module.weight, module.bias, True, eps=module.eps)


def corners_aligned(_: Any, __: Any, x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def over_labelled_pixels(
    _: Any, usual: Callable[..., Tensor], main: Tensor, semantic: Tensor, labels: Tensor
) -> Tensor:
    return usual(main, semantic, labels) / (labels != losses.IGNORED).float().mean()


# by what is wrong: the module that has it, which is to be named, and how it gets it
FAULTS: dict[str, tuple[str, Callable[[nn.Module], None]]] = {
    "GELU by tanh": (f"{BLOCK}.mlp.act", setting("approximate", "tanh")),
    "GELU by a sigmoid": ("network.backbone.layers.1.blocks.0.mlp.act", fast_gelu),
    # where the input's variance is near 1: where it is 3 this is an error of one rounding
    "layer norm's eps of 1e-6": (
        "network.backbone.layers.0.blocks.0.norm1",
        setting("eps", 1e-6),
    ),
    "layer norm's eps of 1e-3": (f"{BLOCK}.norm2", setting("eps", 1e-3)),
    "position bias transposed": (
        ATTENTION,
        overridden(_get_rel_pos_bias=lambda _, usual: usual().transpose(-1, -2)),
    ),
    "softmax in half precision": (f"{ATTENTION}.softmax", overridden(forward=in_half)),
    "keys in half precision": (SEMANTIC, overridden(forward=keys_in_half)),
    "patches merged row by row": (MERGING, overridden(forward=merged_row_by_row)),
    "gradient 1 % too large": (
        f"{BLOCK}.mlp.fc1",
        overridden(forward=lambda _, usual, x: Scaled.apply(usual(x))),
    ),
    "batch norm's momentum": ("network.decode_head.scale_heads.0.0.bn", setting("momentum", 0.01)),
    "running variance biased": (NORM, overridden(forward=biased_variance)),
    "no mask of shifted windows": (
        "network.backbone.layers.0",
        overridden(_layout=lambda _, usual, *args: usual(*args)._replace(mask=None)),
    ),
    "corners aligned": (UPSAMPLE, overridden(forward=corners_aligned)),
    "images as BGR": (
        "(whole)",
        overridden(forward=lambda _, usual, images, labels: usual(images.flip(1), labels)),
    ),
    "loss over labelled pixels": ("loss", overridden(forward=over_labelled_pixels)),
}


def test_mask_of_shifted_windows_left_out_in_the_last_stage(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two windows, which 8x2 tokens make there: at 64x64 the mask hides padding alone."""
    monkeypatch.setitem(VARIANTS, "nano", {**NARROW, "depths": (1, 1, 1, 2)})
    name = "network.backbone.layers.3"
    _, plant = FAULTS["no mask of shifted windows"]
    found = look(lambda model: plant(model.get_submodule(name)), size=(256, 64))
    assert found["semantics: modules"]["guilty"] == name
    assert statuses(found["semantics: modules"]) == {name: "failed"}


def path_of(name: str) -> str:
    return "" if name == "(whole)" else name


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_the_module_is_named(look: Look, fault: str) -> None:
    name, plant = FAULTS[fault]
    found = look(lambda model: plant(model.get_submodule(path_of(name))))["semantics: modules"]
    assert found["guilty"] == name
    assert statuses(found) == {name: "failed"}
    assert ratios(found)[name] > 10


def test_all_at_once_and_no_module_more(look: Look, kept: Any) -> None:
    """No error is taken for one of a module's caller, or of what comes after it."""

    def plant_all(model: nn.Module) -> None:
        for name, plant in FAULTS.values():
            plant(model.get_submodule(path_of(name)))

    looks = look(plant_all)
    assert kept(looks)
    found = looks["semantics: modules"]
    assert statuses(found) == {name: "failed" for name, _ in FAULTS.values()}
    assert min(ratios(found)[name] for name, _ in FAULTS.values()) > 10
