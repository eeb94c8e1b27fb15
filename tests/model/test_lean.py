"""What is made anew in the backward pass is what was not kept, to the bit."""

import gc
import weakref
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import is_tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from semask.model import build
from semask.model.decoder import ConvBlock
from semask.model.lean import LeanAttention, LeanMlp

from timm.layers import Mlp  # isort: skip
from timm.models.swin_transformer import WindowAttention  # isort: skip


class InUse(TorchDispatchMode):
    """Bytes of the tensors that were made within it and are still there."""

    def __init__(self):
        super().__init__()
        self.bytes = 0
        self._known = set()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        results = operator(*args, **(kwargs or {}))
        given = {x.untyped_storage()._cdata for x in tree_leaves((args, kwargs)) if is_tensor(x)}
        for tensor in filter(is_tensor, tree_leaves(results)):
            storage = tensor.untyped_storage()
            if storage._cdata not in self._known | given:
                self._known.add(storage._cdata)
                self.bytes += storage.nbytes()
                weakref.finalize(storage, self._free, storage._cdata, storage.nbytes())
        return results

    def _free(self, number, size):
        self._known.remove(number)
        self.bytes -= size


def gradients(model, precision, *, hooks=None):
    """Of a sum of both logits, and the bytes that were kept for the backward pass."""
    torch.manual_seed(1)
    images = torch.randn(2, 3, 72, 64)
    model.zero_grad()
    lowered = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
    # not the indices and masks of this size, which stay
    model(images)
    with InUse() as seen, hooks or nullcontext(), lowered:
        main, semantic = model(images)
        total = main.square().sum() + semantic.square().sum()
    gc.collect()
    kept = seen.bytes
    total.backward()
    return [p.grad.clone() for p in model.parameters()], kept


class PlainConvBlock(ConvBlock):
    def forward(self, x):
        return F.relu(self.bn(self.conv(x)), inplace=True)


PLAIN = {LeanAttention: WindowAttention, LeanMlp: Mlp, ConvBlock: PlainConvBlock}


def plain(model, kinds=tuple(PLAIN)):
    """The same model of timm's and torch's own parts."""
    for module in model.modules():
        if type(module) in kinds:
            module.__class__ = PLAIN[type(module)]
    return model


def made(approximate="none", **settings):
    torch.manual_seed(0)
    model = build("nano", 19, **settings).train()
    for module in model.modules():
        if isinstance(module, nn.GELU):
            module.approximate = approximate
    return model


def made_anew(model, precision):
    """Bytes that need not be kept.

    Outputs of GELU and of the layer norm before it, weights of attention in 16 bits, and of what a
    rectifier gave all but a byte for the sign.
    """
    found = []
    of_product = 2 if precision == "bf16" else 4
    for module in model.modules():
        if isinstance(module, Mlp):
            module.register_forward_hook(lambda *told: found.append(told[2].numel() * of_product))
        if isinstance(module, ConvBlock):
            module.register_forward_hook(
                lambda *told: found.append(told[2].numel() * (of_product - 1))
            )
        if isinstance(module, Mlp) and isinstance(module.act, nn.GELU):
            module.act.register_forward_hook(lambda *told: found.append(told[2].nbytes))
        if isinstance(module, WindowAttention) and precision == "bf16":
            module.softmax.register_forward_hook(lambda *told: found.append(told[2].nbytes // 2))
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        model(torch.zeros(2, 3, 72, 64))
    return sum(found)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "settings", [{}, {"approximate": "tanh"}, {"fused_attention": True}, {"gelu": "fast"}]
)
def test_gradients_are_those_of_timms_parts(settings, precision):
    ours, less = gradients(made(**settings), precision)
    theirs, more = gradients(plain(made(**settings)), precision)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    expected = made_anew(plain(made(**settings)), precision)
    assert more - less == expected
    assert expected > 0


@pytest.mark.parametrize("function", [lambda x: F.gelu(x) ** 3,
                                      lambda x: F.gelu(2 * x)])  # fmt: skip
def test_an_activation_of_another_kind_is_kept(function):
    class Other(nn.Module):
        def forward(self, x):
            return function(x)

    found = []
    for change in (lambda model: model, plain):
        model = change(made())
        for module in list(model.modules()):
            if isinstance(module, Mlp):
                module.act = Other()
        found.append(gradients(model, "fp32")[0])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_blocks_that_are_computed_anew_keep_their_inputs_alone():
    ours, less = gradients(made(checkpointing=True), "bf16")
    theirs, more = gradients(made(), "bf16")
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert less < 0.7 * more
    of_blocks = plain(made(checkpointing=True), (LeanAttention, LeanMlp))
    assert less == gradients(of_blocks, "bf16")[1]


def test_who_looks_at_what_is_kept_sees_all_of_it():
    seen = []

    def pack(tensor):
        seen.append(tensor.shape)
        return tensor

    ours, _ = gradients(made(), "fp32", hooks=saved_tensors_hooks(pack, lambda x: x))
    of_ours, seen = seen, []
    theirs, _ = gradients(plain(made()), "fp32", hooks=saved_tensors_hooks(pack, lambda x: x))
    assert of_ours == seen
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
