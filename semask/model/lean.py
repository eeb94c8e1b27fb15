"""timm's window attention and MLP, and a rectifier, keeping less for the backward pass.

What takes little time to make and much room to keep is made anew there, by the same operation of
the same numbers, so that the same bits result: the output of a layer norm and of GELU, whose inputs
are kept in any case, and the attention weights in the precision of the products, which are kept in
float32, too. Of a rectifier's output, which is kept for its signs, they alone are. What was made so
has no second derivatives.

Of several hooks on what is kept only the innermost are asked, so where others are (checkpointing,
counting, offloading) all is kept, for them to see.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from semask.base import compat  # noqa: F401  (before timm)

from timm.layers import Mlp  # isort: skip
from timm.models.swin_transformer import WindowAttention  # isort: skip

EPS = 1e-5  # of the layer norm before an MLP


def dtype_of_products(x: Tensor) -> torch.dtype:
    """That of matrix products of features `x`, which autocast lowers."""
    kind = x.device.type
    if kind != "meta" and torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return x.dtype


class LeanMlp(Mlp):
    """Two linear layers with an activation between them, as timm computes them."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps features (…, C), of a layer norm with `EPS`, to features of the same shape."""
        lowered = x.to(dtype_of_products(x))
        with _made_anew(lowered, _norm_again(x, lowered.dtype)):
            before = self.fc1(lowered)
        x = self.norm(self.drop1(self.act(before)))
        with _made_anew(x, _gelu_again(before, x)):
            x = self.fc2(x)
        return self.drop2(x)


class LeanAttention(WindowAttention):
    """Attention within windows, with relative position bias, as timm computes it."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attends within windows.

        Args:
            x: tokens (B·n, window², C) of n windows of each sample.
            mask: (n, window², window²), added to the scores; None for none.

        Returns:
            Tokens of the same shape.
        """
        if self.fused_attn:
            return super().forward(x, mask)
        windows, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(windows, tokens, 3, self.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q * self.scale) @ k.transpose(-2, -1) + self._get_rel_pos_bias()
        if mask is not None:
            scores = scores.unflatten(0, (-1, len(mask))) + mask[:, None]
            scores = scores.flatten(0, 1)
        weights = self.attn_drop(self.softmax(scores))
        lowered = weights.to(v.dtype)
        again = None if lowered is weights else _cast_again(weights, v.dtype)
        with _made_anew(lowered, again):
            x = lowered @ v
        return self.proj_drop(self.proj(x.transpose(1, 2).reshape(windows, tokens, -1)))


def relu(x: Tensor) -> Tensor:
    """The rectifier of `x`, in place."""
    if not _is_ours_to_keep():
        return F.relu(x, inplace=True)
    dtype = x.dtype  # x itself would be kept with it
    with saved_tensors_hooks(lambda result: result <= 0, lambda dropped: (~dropped).to(dtype)):
        return F.relu(x, inplace=True)


def _norm_again(after: Tensor, dtype: torch.dtype) -> Callable[[], Tensor] | None:
    """What makes a layer norm's output from its input; None where it is of anything else."""
    if not _is_ours_to_keep():
        return None
    made_by: Any = after.grad_fn
    if made_by is None or made_by.name() != "NativeLayerNormBackward0":
        return None
    kept, shape = made_by._saved_input.detach(), made_by._saved_normalized_shape
    weight, bias = made_by._saved_weight, made_by._saved_bias
    return lambda: F.layer_norm(kept, shape, weight, bias, EPS).to(dtype)


def _gelu_again(before: Tensor, after: Tensor) -> Callable[[], Tensor] | None:
    """What makes GELU's output from its input; None where the output is of anything else."""
    if not _is_ours_to_keep():
        return None
    made_by: Any = after.grad_fn
    if made_by is None or made_by.name() != "GeluBackward0":
        return None
    if before.grad_fn is None or made_by.next_functions[0][0] is not before.grad_fn:
        return None
    kept, approximate = before.detach(), made_by._saved_approximate
    return lambda: F.gelu(kept, approximate=approximate)


def _cast_again(x: Tensor, dtype: torch.dtype) -> Callable[[], Tensor]:
    kept = x.detach()
    return lambda: kept.to(dtype)


def _made_anew(x: Tensor, make: Callable[[], Tensor] | None) -> AbstractContextManager[Any]:
    """Context in which `x` is not kept for the backward pass but made there; None: it is kept."""
    if make is None or not _is_ours_to_keep():
        return nullcontext()
    place, size = x.data_ptr(), x.numel()

    def pack(saved: Tensor) -> Any:
        # the whole of it, in whatever shape a product wants
        if saved.data_ptr() == place and saved.numel() == size and saved.is_contiguous():
            return saved.shape
        return saved

    def unpack(kept: Any) -> Tensor:
        return kept if isinstance(kept, Tensor) else make().reshape(kept)

    return saved_tensors_hooks(pack, unpack)


def _is_ours_to_keep() -> bool:
    """Whether a backward pass follows and nobody else, compiled code too, decides what is kept."""
    return (
        not torch.compiler.is_compiling()
        and torch.is_grad_enabled()
        and torch._C._autograd._top_saved_tensors_default_hooks(True) is None
    )
