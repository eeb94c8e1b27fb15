"""The training loss and the training log's accuracy."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from semask.model.decoder import at_least_float32, resize

IGNORED = 255
SEMANTIC_WEIGHT = 0.4


class SegmentationLosses(NamedTuple):
    """Scalars of one batch; ``total`` is what training minimises.

    ``ce_semantic`` includes its weight of 0.4. ``acc_seg`` is a percentage, without gradient.
    """

    total: Tensor
    ce: Tensor
    ce_semantic: Tensor
    acc_seg: Tensor


def segmentation_losses(
    main: Tensor, semantic: Tensor, labels: Tensor, hard_pixels: int | None = None
) -> SegmentationLosses:
    """Cross-entropy of both decoders, as the reference implementation computes it.

    Both logits are resized to the labels (bilinear, corners not aligned). A pixel labelled 255
    has no loss, yet counts: losses and accuracy are means over all pixels. The computation is
    in float32 (float64 for float64 logits), under autocast too.

    Args:
        main: logits (B, K, h, w).
        semantic: logits (B, K, h, w).
        labels: class of each pixel (B, H, W), integers 0…K-1, or 255 where there is none.
        hard_pixels: online hard example mining on the main loss: only this many labelled pixels
            per image, those of the highest loss in this process's batch, have a loss. None for all.

    Returns:
        Scalars of the batch.
    """
    labels = labels.long()
    size = labels.shape[-2:]
    main = resize(at_least_float32(main), size)
    per_pixel = _cross_entropy(main, labels)
    if hard_pixels is not None:
        per_pixel = per_pixel * _hardest(per_pixel, labels, hard_pixels * len(labels))
    ce = per_pixel.mean()
    semantic = resize(at_least_float32(semantic), size)
    ce_semantic = SEMANTIC_WEIGHT * _cross_entropy(semantic, labels).mean()
    with torch.no_grad():
        acc_seg = (main.argmax(1) == labels).float().mean() * 100
    return SegmentationLosses(ce + ce_semantic, ce, ce_semantic, acc_seg)


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each pixel (B, H, W) from logits (B, K, H, W); 0 where there is no label."""
    if not torch.are_deterministic_algorithms_enabled():
        return F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="none")
    # torch lists its loss of maps among the operators that have no deterministic form on a GPU.
    # That of a list of pixels has one; it copies the logits once more.
    pixels = F.log_softmax(logits, 1).movedim(1, -1).flatten(0, -2)
    losses = F.nll_loss(pixels, labels.flatten(), ignore_index=IGNORED, reduction="none")
    return losses.view_as(labels)


def _hardest(per_pixel: Tensor, labels: Tensor, count: int) -> Tensor:
    with torch.no_grad():
        losses = per_pixel.masked_fill(labels == IGNORED, -1).flatten()
        weights = torch.zeros_like(losses)
        weights[losses.topk(min(count, losses.numel())).indices] = 1
        return weights.view_as(per_pixel)
