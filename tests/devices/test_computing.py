"""What a step asks of its device."""

from typing import Any

import torch
from torch import nn

from semask.devices import computing


class _AsSomeKernelsDo(torch.autograd.Function):
    """A convolution's weights, whose gradient comes in the plain layout, as CUDA's may."""

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor) -> torch.Tensor:
        return weight.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        return gradient.as_strided((5, 7, 1, 1), (7, 1, 1, 1))


def test_gradients_come_as_ddp_wants_them() -> None:
    """With the strides of the weights; else it warns, and copies each into another layout."""
    gradients = []
    for aligned in (False, True):
        torch.manual_seed(0)
        layer = nn.Conv2d(7, 5, 1)
        computing.place(layer, torch.device("cpu"))
        if aligned:
            computing.align_gradients(layer)
        weight = _AsSomeKernelsDo.apply(layer.weight)
        nn.functional.conv2d(torch.randn(2, 7, 4, 4), weight).square().sum().backward()
        assert layer.weight.grad is not None
        gradients.append(layer.weight.grad)
    assert layer.weight.stride() == (7, 1, 7, 7)
    assert [gradient.stride() for gradient in gradients] == [(7, 1, 1, 1), (7, 1, 7, 7)]
    assert torch.equal(*gradients)


def test_a_gradient_in_another_order_is_left_alone() -> None:
    weight = nn.Parameter(torch.zeros(5, 7, 1, 1))
    computing.align_gradients(nn.ParameterList([weight]))
    weight.mul(torch.arange(35.0).view(7, 5, 1, 1).transpose(0, 1)).sum().backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad, torch.arange(35.0).view(7, 5, 1, 1).transpose(0, 1))
