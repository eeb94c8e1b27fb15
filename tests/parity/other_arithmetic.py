"""Modules in other arithmetic than torch's: the same functions, summed in other orders."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LayerNorm(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        variance = centred.square().mean(-1, keepdim=True)
        return centred / (variance + self.eps).sqrt() * self.weight + self.bias


class Linear(nn.Linear):
    """From the transposed side: the weights times the tokens."""

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.weight @ x.flatten(0, -2).T
        if self.bias is not None:
            tokens = tokens + self.bias[:, None]
        return tokens.T.reshape(*x.shape[:-1], -1)


class Conv2d(nn.Conv2d):
    """Patches side by side, times the weights."""

    def forward(self, x: Tensor) -> Tensor:
        patches = F.unfold(x, self.kernel_size, self.dilation, self.padding, self.stride)
        y = self.weight.flatten(1) @ patches
        if self.bias is not None:
            y = y + self.bias[:, None]
        of = zip(x.shape[-2:], self.kernel_size, self.padding, self.stride, strict=True)
        return y.unflatten(-1, [(length + 2 * pad - k) // s + 1 for length, k, pad, s in of])


class GELU(nn.GELU):
    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x * (1 + torch.erf(x * 0.5**0.5))


class Softmax(nn.Softmax):
    def forward(self, x: Tensor) -> Tensor:
        powers = (x - x.amax(-1, keepdim=True)).exp()
        return powers / powers.sum(-1, keepdim=True)


class BatchNorm2d(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
        count = x.numel() / x.shape[1]
        with torch.no_grad():
            self.running_mean.lerp_(mean.flatten(), self.momentum)
            self.running_var.lerp_((variance * (count / (count - 1))).flatten(), self.momentum)
            self.num_batches_tracked += 1
        weight, bias = (p[:, None, None] for p in (self.weight, self.bias))
        return (x - mean) * (variance + self.eps).rsqrt() * weight + bias


_OTHERS: dict[type, type] = {
    other.__mro__[1]: other for other in (LayerNorm, Linear, Conv2d, GELU, Softmax, BatchNorm2d)
}


def turn(model: nn.Module) -> None:
    """Turns all modules of a model that there is another arithmetic for."""
    for module in model.modules():
        other: Any = _OTHERS.get(type(module))
        if other is not None:
            module.__class__ = other
