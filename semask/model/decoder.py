"""The semantic FPN decoder, and the sum that decodes the semantic maps (SeMask, section 3.3)."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semask.devices import computing
from semask.model.lean import relu

CHANNELS = 256


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resizes (B, C, H, W) to ``size`` (height, width), bilinear, corners not aligned."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


def at_least_float32(x: Tensor) -> Tensor:
    """Raises lower precisions to float32; float64 stays."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def upsample(x: Tensor) -> Tensor:
    """Doubles the sides of (B, C, H, W)."""
    height, width = x.shape[-2:]
    return resize(x, (2 * height, 2 * width))


class ConvBlock(nn.Module):
    """3x3 convolution without bias, batch norm, ReLU.

    The norm computes in the precision of its weights, float32 under autocast. Not every device has
    one that reads and writes lower precisions by itself, which takes fewer copies.
    """

    def __init__(self, inputs: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, CHANNELS, 3, padding=1, bias=False)
        self.bn: Any = norm(CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, inputs, H, W) to (B, 256, H, W)."""
        x = self.conv(x)
        mixed = computing.has_mixed_norm(x.device)
        full = x if mixed else x.to(torch.promote_types(x.dtype, self.bn.weight.dtype))
        return relu(self.bn(full)).to(x.dtype)


class Upsample(nn.Module):
    """`upsample` as a module, so that the blocks of a stage are one sequence."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) to (B, C, 2H, 2W)."""
        return upsample(x)


class FPNHead(nn.Module):
    """Brings every stage to 256 channels at the first one's size, sums and classifies.

    Args:
        dims: channels of the stages.
        num_classes: K.
        dropout: probability that a channel is dropped before the classifier.
        norm: makes the batch norm of a number of channels.
    """

    def __init__(
        self,
        dims: Sequence[int],
        num_classes: int,
        dropout: float,
        norm: Callable[[int], nn.Module],
    ) -> None:
        super().__init__()
        self.scale_heads = nn.ModuleList()
        for i, dim in enumerate(dims):
            blocks: list[nn.Module] = []
            for j in range(max(1, i)):
                blocks.append(ConvBlock(CHANNELS if j else dim, norm))
                if i > 0:
                    blocks.append(Upsample())
            self.scale_heads.append(nn.Sequential(*blocks))
        self.dropout = nn.Dropout2d(dropout)
        self.conv_seg = nn.Conv2d(CHANNELS, num_classes, 1)
        for module in self.scale_heads.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.conv_seg.weight, std=0.01)
        assert self.conv_seg.bias is not None
        nn.init.zeros_(self.conv_seg.bias)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Logits (B, K, h, w) at the size of the first of the features (B, dims[i], h_i, w_i)."""
        size = features[0].shape[-2:]
        x = self.scale_heads[0](features[0])
        for head, feature in zip(self.scale_heads[1:], features[1:], strict=True):
            x = x + resize(head(feature), size)
        return self.conv_seg(self.dropout(x))


def decode_semantic_maps(semantic_maps: Sequence[Tensor]) -> Tensor:
    """Sums the semantic maps of the stages at the first one's size.

    Map i is doubled i times before it is resized, as the reference does.

    Args:
        semantic_maps: (B, K, h_i, w_i) of each stage.

    Returns:
        Logits (B, K, h_0, w_0).
    """
    total = semantic_maps[0]
    for i, x in enumerate(semantic_maps[1:], start=1):
        for _ in range(i):
            x = upsample(x)
        total = total + resize(x, semantic_maps[0].shape[-2:])
    return total
