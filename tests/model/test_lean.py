"""What is made anew in the backward pass is what was not kept, to the bit."""

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from semask.model import build
from semask.model.lean import LeanAttention, LeanMlp

from timm.layers import Mlp  # isort: skip
from timm.models.swin_transformer import WindowAttention  # isort: skip


def gradients(model, precision):
    """Of a sum of both logits, and the bytes that were kept as they were."""
    kept = {}

    def keep(tensor):
        kept[tensor.data_ptr(), tensor.dtype] = tensor.untyped_storage().nbytes()
        return tensor

    torch.manual_seed(1)
    images = torch.randn(2, 3, 72, 64)
    model.zero_grad()
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            main, semantic = model(images)
        (main.square().sum() + semantic.square().sum()).backward()
    return [p.grad.clone() for p in model.parameters()], sum(kept.values())


def plain(model):
    """The same model of timm's own parts."""
    for module in model.modules():
        if isinstance(module, LeanAttention):
            module.__class__ = WindowAttention
        if isinstance(module, LeanMlp):
            module.__class__ = Mlp
    return model


def made(approximate="none", **settings):
    torch.manual_seed(0)
    model = build("nano", 19, **settings).train()
    for module in model.modules():
        if isinstance(module, nn.GELU):
            module.approximate = approximate
    return model


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, 0.9),
        ({"approximate": "tanh"}, 0.9),
        ({"fused_attention": True}, 0.95),
        ({"gelu": "fast"}, 1.0),  # whose output has to be kept
    ],
)
def test_gradients_are_those_of_timms_parts(settings, kept, precision):
    ours, less = gradients(made(**settings), precision)
    theirs, more = gradients(plain(made(**settings)), precision)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert less <= kept * more


def test_an_activation_of_another_kind_is_kept():
    class Cube(nn.Module):
        def forward(self, x):
            return nn.functional.gelu(x) ** 3

    found = []
    for change in (lambda model: model, plain):
        model = change(made())
        for module in list(model.modules()):
            if isinstance(module, Mlp):
                module.act = Cube()
        found.append(gradients(model, "fp32")[0])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_blocks_that_are_computed_anew_keep_their_inputs_alone():
    model = made(checkpointing=True)
    assert not any(isinstance(m, LeanMlp | LeanAttention) for m in model.modules())
    ours, less = gradients(model, "bf16")
    theirs, more = gradients(made(), "bf16")
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert less < 0.7 * more
