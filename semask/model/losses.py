"""The training loss and the training log's accuracy."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from semask.model.decoder import at_least_float32, resize

IGNORED = 255
SEMANTIC_WEIGHT = 0.4
# logits at full size that are there at a time: what fits a CPU's cache, elsewhere what keeps a
# device busy
_TILE_ON_CPU, _TILE = 2**20, 2**26


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
    """
    labels = labels.long()
    main, semantic = at_least_float32(main), at_least_float32(semantic)
    # compiled, it is a few passes as it is, and a graph has no place for a gradient on the way
    loss_of = _whole if torch.compiler.is_compiling() else _InTiles.apply
    ce, right = loss_of(main, labels, 1.0, hard_pixels, True)
    ce_semantic, _ = loss_of(semantic, labels, SEMANTIC_WEIGHT, None, False)
    return SegmentationLosses(ce + ce_semantic, ce, ce_semantic, right.float().mean() * 100)


def _whole(
    logits: Tensor, labels: Tensor, weight: float, hard_pixels: int | None, judge: bool
) -> tuple[Tensor, Tensor]:
    """What `_InTiles` computes, in one piece and differentiated by autograd."""
    logits = resize(logits, labels.shape[-2:])
    per_pixel = _cross_entropy(logits, labels)
    if hard_pixels is not None:
        per_pixel = per_pixel * _hardest(per_pixel, labels, hard_pixels * len(labels))
    right = logits.detach().argmax(1) == labels if judge else labels
    return weight * per_pixel.mean(), right


class _InTiles(torch.autograd.Function):
    """The weighted mean loss () of a decoder, and which pixels are right, bool (B, H, W).

    Logits at full size are made in tiles, never whole. Their gradient is computed on the way and
    kept at the decoder's size: the backward pass only scales it.
    """

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        labels: Tensor,
        weight: float,
        hard_pixels: int | None,
        judge: bool,
    ) -> tuple[Tensor, Tensor]:
        """Takes logits (B, K, h, w), labels (B, H, W) and whether to judge which are right."""
        share = torch.full_like(labels, weight, dtype=logits.dtype) / labels.numel()
        losses, right = torch.empty_like(share), torch.empty_like(labels, dtype=torch.bool)
        kept = None
        # in the order that autograd gives it, on which the rounding of what follows depends
        gradient = torch.empty_like(logits, memory_format=torch.contiguous_format)
        tiles = list(_tiles(logits, labels))
        if hard_pixels is not None:
            for images, _, around, seen in tiles:
                full = _rows(logits[images], labels, around, seen)
                losses[images, seen] = _cross_entropy(full, labels[images, seen])
            kept = _hardest(losses, labels, hard_pixels * len(labels))
            share *= kept
        for images, own, around, seen in tiles:
            with torch.enable_grad():
                part = logits[images].detach().requires_grad_()
                full = _rows(part, labels, around, seen)
                per_pixel = _cross_entropy(full, labels[images, seen])
            [found] = torch.autograd.grad(per_pixel, part, share[images, seen])
            gradient[images, :, own] = found[:, :, own]
            losses[images, seen] = per_pixel.detach()
            if judge:
                right[images, seen] = full.detach().argmax(1) == labels[images, seen]
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(right)
        return weight * (losses if kept is None else losses * kept).mean(), right

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        """Scales the gradient of the logits."""
        return ctx.saved_tensors[0] * grad_loss, None, None, None, None


class _Tile(NamedTuple):
    images: slice
    own: slice  # rows of the logits whose gradient it gives
    around: slice  # rows of the logits that are resized for it
    seen: slice  # rows of the labels, all those that its own rows take part in


def _tiles(logits: Tensor, labels: Tensor) -> Iterator[_Tile]:
    """Cuts a batch into images, and these into rows if their heights are multiples."""
    batch, classes, height, _ = logits.shape
    most = _TILE_ON_CPU if logits.device.type == "cpu" else _TILE
    image = classes * labels[0].numel()
    rows = height if labels.shape[1] % height else max(1, most * height // image)
    images = max(1, most // image)
    for first in range(0, batch, images):
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            # A row of logits takes part in those of labels nearer than one row to it. What is
            # resized ends a row further out, where edges are treated otherwise.
            part, around = [slice(max(top - n, 0), min(bottom + n, height)) for n in (1, 2)]
            seen = _scaled(part, height, labels)
            yield _Tile(slice(first, first + images), slice(top, bottom), around, seen)


def _rows(logits: Tensor, labels: Tensor, around: slice, seen: slice) -> Tensor:
    """Rows `seen` of logits at the size of labels, made of the rows `around`."""
    made = _scaled(around, logits.shape[2], labels)
    full = resize(logits[:, :, around], (made.stop - made.start, labels.shape[2]))
    return full[:, :, seen.start - made.start : seen.stop - made.start]


def _scaled(rows: slice, height: int, labels: Tensor) -> slice:
    return slice(*[row * labels.shape[1] // height for row in (rows.start, rows.stop)])


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
