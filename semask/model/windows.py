"""Cutting feature maps into attention windows, and the mask of the shifted ones.

Maps are (B, H, W, C). timm's own block rolls before it pads and drops the shift where one window
covers the map; SeMask pads after the norm, then rolls, and always shifts its odd blocks. So only
timm's partition functions are used here, not its block.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from semask.base import compat  # noqa: F401  (before timm)

from timm.models.swin_transformer import window_partition, window_reverse  # isort: skip

MASKED = -100.0


def to_windows(x: Tensor, window: int) -> Tensor:
    """Pads a map with zeros at right and bottom and cuts it into windows.

    Args:
        x: map (B, H, W, C).
        window: side of a window, in tokens.

    Returns:
        Windows (B·n, window², C), n = ⌈H/window⌉·⌈W/window⌉.
    """
    return window_partition(pad_to_multiple(x, window), (window, window)).flatten(1, 2)


def from_windows(windows: Tensor, window: int, height: int, width: int) -> Tensor:
    """Puts windows (B·n, window², C) back together as a map (B, height, width, C)."""
    padded = padded_length(height, window), padded_length(width, window)
    x = window_reverse(windows.unflatten(1, (window, window)), (window, window), *padded)
    return x[:, :height, :width]


def padded_length(length: int, window: int) -> int:
    """The smallest multiple of ``window`` that is not below ``length``."""
    return -(-length // window) * window


def pad_to_multiple(x: Tensor, window: int) -> Tensor:
    """Pads a map (B, H, W, C) with zeros at right and bottom to a multiple of ``window``."""
    _, height, width, _ = x.shape
    bottom = padded_length(height, window) - height
    right = padded_length(width, window) - width
    # F.pad copies the map even where there is nothing to add.
    return F.pad(x, (0, 0, 0, right, 0, bottom)) if bottom or right else x


def shift_mask(
    height: int, width: int, window: int, shift: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """The mask that keeps apart what the cyclic shift brought into one window.

    Args:
        height: of the padded map, in tokens, a multiple of ``window``.
        width: likewise.
        window: side of a window, in tokens.
        shift: of the map, in tokens, towards the top left.
        device: of the mask.
        dtype: of the mask.

    Returns:
        (n, window², window²): 0 where two tokens were neighbours before the shift, -100 elsewhere.
    """
    # A tensor made in inference mode could not take part in training later on.
    with torch.inference_mode(False), torch.no_grad():
        rows = _regions(height, window, shift, device)
        columns = _regions(width, window, shift, device)
        regions = (3 * rows[:, None] + columns[None, :])[None, :, :, None]
        ids = to_windows(regions, window).squeeze(-1)
        apart = ids[:, None, :] != ids[:, :, None]
        return torch.zeros(apart.shape, device=device, dtype=dtype).masked_fill_(apart, MASKED)


def _regions(length: int, window: int, shift: int, device: torch.device) -> Tensor:
    position = torch.arange(length, device=device)
    return (position >= length - window).int() + (position >= length - shift).int()
