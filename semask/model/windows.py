"""Cutting feature maps into attention windows and back, and the mask of the shifted ones.

Maps are (B, H, W, C). timm's own block rolls before it pads and drops the shift where one window
covers the map; SeMask pads after the norm, then rolls, and always shifts its odd blocks. Padding,
rolling and cutting only move tokens, so they are one gather here, with the reverse one as its
backward pass, in place of a copy for each of them and of those that undo them.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from semask.base import compat  # noqa: F401  (before timm)
from semask.devices.computing import fills_by_index

from timm.models.swin_transformer import window_partition, window_reverse  # isort: skip

MASKED = -100.0


class Layout(NamedTuple):
    """Where the tokens of a map are in its windows, n of them; a map's size makes it."""

    tokens: Tensor  # (n·window²,) int64, the token at each place, counted by rows; 0 where none is
    empty: Tensor  # int64, the places without a token, which are zeros
    # (n·window², 1) bool, the same, for devices that fill slowly by numbers; of length 0 if none
    holes: Tensor
    places: Tensor  # (H·W,) int64, the place of each token
    # (n, window², window²), 0 where two tokens were neighbours before the shift, -100 elsewhere;
    # None without a shift
    mask: Tensor | None


def lay_out(
    height: int, width: int, window: int, shift: int, device: torch.device, dtype: torch.dtype
) -> Layout:
    """The layout of a map that is padded with zeros at right and bottom and rolled cyclically.

    All lengths are in tokens; the shift is towards the top left, 0 for none. `dtype` is the mask's.
    """
    # A tensor made in inference mode could not take part in training later on.
    with torch.inference_mode(False), torch.no_grad():
        padded = [-(-length // window) * window for length in (height, width)]
        count = padded[0] * padded[1]
        cut = torch.arange(count, device=device).view(-1, window, window, 1)
        places = window_reverse(cut, (window, window), *padded)[0, :, :, 0]
        places = places.roll((shift, shift), dims=(0, 1))
        empty = torch.cat([places[height:].flatten(), places[:height, width:].flatten()])
        holes = torch.zeros(count if len(empty) else 0, 1, dtype=torch.bool, device=device)
        holes[empty] = True
        places = places[:height, :width].flatten()
        tokens = torch.zeros(count, dtype=torch.int64, device=device)
        tokens[places] = torch.arange(height * width, device=device)
        mask = _shift_mask(padded, window, shift, device, dtype) if shift else None
        return Layout(tokens, empty, holes, places, mask)


def to_windows(x: Tensor, window: int, layout: Layout) -> Tensor:
    """Cuts a map (B, H, W, C) into windows (B·n, window², C)."""
    _, _, _, channels = x.shape
    empty = _empty(layout, x)
    cut = _Gather.apply(x.flatten(1, 2), layout.tokens, empty, layout.places, empty[:0])
    return cut.view(-1, window**2, channels)


def from_windows(windows: Tensor, layout: Layout, height: int, width: int) -> Tensor:
    """Puts windows (B·n, window², C) back together as a map (B, height, width, C)."""
    x, empty = windows.reshape(-1, len(layout.tokens), windows.shape[-1]), _empty(layout, windows)
    x = _Gather.apply(x, layout.places, empty[:0], layout.tokens, empty)
    return x.unflatten(1, (height, width))


def _empty(layout: Layout, x: Tensor) -> Tensor:
    return layout.empty if fills_by_index(x.device) else layout.holes


class _Gather(torch.autograd.Function):
    """Moves tokens (B, N, C): place i gets token `there[i]`, the places `empty` get zeros.

    `back` and `nowhere` are those of the way back, which no token leaves twice.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, there: Tensor, empty: Tensor, back: Tensor, nowhere: Tensor
    ) -> Tensor:
        ctx.save_for_backward(back, nowhere)
        return _gather(x, there, empty)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _gather(grad, *ctx.saved_tensors), None, None, None, None


def _gather(x: Tensor, there: Tensor, empty: Tensor) -> Tensor:
    x = x.index_select(1, there)
    if not len(empty):
        return x
    return x.masked_fill_(empty, 0) if empty.dtype == torch.bool else x.index_fill_(1, empty, 0)


def _shift_mask(
    padded: list[int], window: int, shift: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    rows, columns = (_regions(length, window, shift, device) for length in padded)
    regions = (3 * rows[:, None] + columns[None, :])[None, :, :, None]
    ids = window_partition(regions, (window, window)).flatten(1)
    apart = ids[:, None, :] != ids[:, :, None]
    return torch.zeros(apart.shape, device=device, dtype=dtype).masked_fill_(apart, MASKED)


def _regions(length: int, window: int, shift: int, device: torch.device) -> Tensor:
    position = torch.arange(length, device=device)
    return (position >= length - window).int() + (position >= length - shift).int()
