"""Batch norm over the processes of a distributed run, on any back end.

torch's own SyncBatchNorm runs on CUDA devices (and those that provide its kernels) only. This one
is made of ordinary operators and two collectives, so it also runs on CPUs over gloo, where a
distributed run can be tested on any machine.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from semask.devices import distributed

_PER_CHANNEL = (0, 2, 3)


class SyncBatchNorm(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` whose batch is that of all processes together.

    In evaluation, without an initialised process group, and with one process it is plain batch
    norm. In training with more, statistics are taken over the pixels of all processes, in float32
    at least, and every process keeps the same running statistics; processes may bring different
    numbers of pixels. Parameters and buffers have batch norm's names.

    Gradients: each process minimises the loss of its own samples. What leaves for the input is the
    gradient of the *sum* of those losses over processes, and what is left at weight and bias is
    this process's part of that sum's gradient. Averaging parameter gradients over processes, as
    DistributedDataParallel does, hence gives the gradient of the mean of the losses: for losses
    that are means over equally many pixels, that of one process with the whole batch.
    """

    momentum: float

    def forward(self, x: Tensor) -> Tensor:
        """Normalises (B, C, H, W) per channel; the output has the input's dtype."""
        if not self.training or distributed.world_size() == 1:
            return super().forward(x)
        mean, var, count = _batch_statistics(x.detach())
        self._track(mean, var * (count / (count - 1)))
        return _Normalise.apply(x, self.weight, self.bias, mean, var, count, self.eps)

    @torch.no_grad()
    def _track(self, mean: Tensor, unbiased_var: Tensor) -> None:
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(unbiased_var.to(self.running_var.dtype), self.momentum)


def _batch_statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (C,), biased variance (C,) and number of pixels () over all processes."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    var, mean = torch.var_mean(x, dim=_PER_CHANNEL, correction=0)
    # not by new_tensor, which has the host wait for the device
    count = mean.new_full((1,), x.numel() // x.shape[1])
    mine = torch.cat([mean, var, count])
    gathered = [torch.empty_like(mine) for _ in range(distributed.world_size())]
    dist.all_gather(gathered, mine)
    channels = len(mean)
    means, variances, counts = torch.stack(gathered).split([channels, channels, 1], dim=1)
    # Sums of squares would cancel where the mean is large; squared distances between means don't.
    share = counts / counts.sum()
    mean = (share * means).sum(0)
    var = (share * (variances + (means - mean) ** 2)).sum(0)
    return mean, var, counts.sum()


class _Normalise(torch.autograd.Function):
    """Normalises with given statistics, and differentiates through them."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        var: Tensor,
        count: Tensor,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, torch.rsqrt(var + eps), count)
        dtype = mean.dtype  # that of the statistics is the one dtype that batch_norm mixes with x
        return F.batch_norm(x, mean, var, weight.to(dtype), bias.to(dtype), training=False, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse_std, count = ctx.saved_tensors
        grad = grad_output.to(mean.dtype)
        normalised = (x.to(mean.dtype) - _per_channel(mean)) * _per_channel(inverse_std)
        grad_weight = (grad * normalised).sum(_PER_CHANNEL)
        grad_bias = grad.sum(_PER_CHANNEL)
        sums = torch.stack([grad_bias, grad_weight])
        dist.all_reduce(sums)
        mean_grad, mean_grad_normalised = sums / count
        grad = grad - _per_channel(mean_grad) - normalised * _per_channel(mean_grad_normalised)
        grad_input = grad * _per_channel(weight * inverse_std)
        return (
            grad_input.to(x.dtype),
            grad_weight.to(weight.dtype),
            grad_bias.to(weight.dtype),
            *(None,) * 4,  # statistics and eps have none
        )


def _per_channel(x: Tensor) -> Tensor:
    return x[:, None, None]
