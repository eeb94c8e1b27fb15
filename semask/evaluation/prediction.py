"""Prediction of an image: at one scale, or averaged over several, whole or by windows."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F

from semask.config.recipe import SlidingWindow

Model = Callable[[torch.Tensor], torch.Tensor]

# of the logits that are at the prediction's size at a time: 32 classes of 1024x2048
_CHUNK_BYTES = 2**28


def predict(
    model: Model,
    image: torch.Tensor,
    size: tuple[int, int],
    sliding_window: SlidingWindow | None = None,
) -> torch.Tensor:
    """Most likely class of every pixel: the largest logit, the first of equal ones.

    Logits are brought to the prediction's size a few classes at a time, on a CPU one at a time: it
    is faster, and memory does not grow with the number of classes. The result is the same.

    The model is in evaluation mode and gives logits at quarter resolution; the image is float32
    (1, 3, H, W), normalised, on its device. With a sliding window the logits of windows are
    averaged instead of those of the whole image. The prediction, uint8 (1, h, w), is of the label's
    `size`.
    """
    parts = _forward(model, image, sliding_window)
    highest = torch.empty(0)
    classes = torch.zeros(1, *size, dtype=torch.uint8, device=image.device)
    # one class at a time needs no search, and on a CPU its numbers stay in the cache
    step = 1 if image.device.type == "cpu" else _step(parts, size)
    for first, logits in _by_classes(parts, size, step):
        value, index = (logits[:, 0], first) if logits.shape[1] == 1 else logits.max(dim=1)
        if first == 0:
            highest = value
            classes += index
        elif isinstance(index, int):
            classes.masked_fill_(value > highest, index)
            torch.maximum(highest, value, out=highest)
        else:
            higher = value > highest
            highest = torch.where(higher, value, highest)
            classes = torch.where(higher, (index + first).to(torch.uint8), classes)
    return classes


def predict_average(
    model: Model,
    views: Iterable[tuple[torch.Tensor, bool]],
    size: tuple[int, int],
    sliding_window: SlidingWindow | None = None,
) -> torch.Tensor:
    """Class of the highest probability, averaged over views of one image, uint8 (1, h, w).

    Probabilities are the softmax of the logits at the prediction's size. Beside the average, one
    (K, h, w) float32, only a few classes of one view are held at that size. There is at least one
    view, an input of any size and whether it is mirrored left to right; they are taken one after
    the other. The other arguments are those of `predict`.
    """
    total = torch.empty(0)
    for image, mirrored in views:
        parts = _forward(model, image, sliding_window)
        del image  # before the next one is loaded
        norm, step = None, _step(parts, size)
        if step < parts.num_classes:  # the sum over all classes comes first
            for _, logits in _by_classes(parts, size, step):
                of_these = logits.logsumexp(dim=1, keepdim=True)
                norm = of_these if norm is None else torch.logaddexp(norm, of_these)
        for first, logits in _by_classes(parts, size, step):
            shares = logits.softmax(dim=1) if norm is None else logits.sub_(norm).exp_()
            if not total.numel():
                total = shares.new_zeros(1, parts.num_classes, *size)
            total[:, first : first + shares.shape[1]] += shares.flip(-1) if mirrored else shares
    # the first of equal ones; on a CPU several times faster than argmax along the outer dimension
    return total.max(dim=1).indices.to(torch.uint8)


class _Parts(NamedTuple):
    """Logits (1, K, ⌈·/4⌉, ⌈·/4⌉) of an image, or of each of its windows."""

    logits: list[torch.Tensor]
    places: list[tuple[slice, slice]]  # rows and columns of the windows; empty: the whole image
    size: tuple[int, int]  # (H, W) of the image

    @property
    def num_classes(self) -> int:
        return self.logits[0].shape[1]


def _forward(model: Model, image: torch.Tensor, window: SlidingWindow | None) -> _Parts:
    height, width = image.shape[-2:]
    places = [] if window is None else window_places(height, width, window)
    views = [image[..., rows, columns] for rows, columns in places] or [image]
    # a model in channels-last order gives channels-last logits, of which no class can be cut out
    # without a copy
    logits = [model(view).float().contiguous() for view in views]
    return _Parts(logits, places, (height, width))


def window_places(height: int, width: int, window: SlidingWindow) -> list[tuple[slice, slice]]:
    """Rows and columns of an image's windows, from its first pixel to its last."""
    sides = zip((height, width), window.size, window.stride, strict=True)
    rows, columns = (_steps(*side) for side in sides)
    return list(itertools.product(rows, columns))


def _steps(length: int, window: int, stride: int) -> list[slice]:
    """Windows along one side: `stride` apart, the last one moved back inside."""
    window = min(window, length)
    steps = -(-(length - window) // stride) + 1
    starts = [min(i * stride, length - window) for i in range(steps)]
    return [slice(start, start + window) for start in starts]


def _step(parts: _Parts, size: tuple[int, int]) -> int:
    """How many classes are at `size` at a time, by the memory that they take."""
    pixels = max(math.prod(size), math.prod(parts.size))
    return max(1, _CHUNK_BYTES // (4 * pixels))


def _by_classes(
    parts: _Parts, size: tuple[int, int], step: int
) -> Iterator[tuple[int, torch.Tensor]]:
    """Logits at `size`, (1, k, *size), of `step` classes at a time, after the first's number.

    As in the original by way of the image's own size, which blurs where that is another.
    """
    for first in range(0, parts.num_classes, step):
        logits = [x[:, first : first + step] for x in parts.logits]
        whole = _joined(logits, parts) if parts.places else _resize(logits[0], parts.size)
        yield first, whole if parts.size == size else _resize(whole, size)


def _joined(logits: list[torch.Tensor], parts: _Parts) -> torch.Tensor:
    """Mean logits (1, k, H, W) of the windows that cover each pixel, from (1, k, h, w) of each."""
    total = logits[0].new_zeros(1, logits[0].shape[1], *parts.size)
    cover = logits[0].new_zeros(parts.size)
    for of_window, (rows, columns) in zip(logits, parts.places, strict=True):
        size = rows.stop - rows.start, columns.stop - columns.start
        total[..., rows, columns] += _resize(of_window, size)
        cover[rows, columns] += 1
    return total.div_(cover)


def _resize(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resizes (1, k, h, w) to `size`, bilinear, corners not aligned, class by class.

    On a CPU torch rounds the last bit of a pixel by its place in the whole tensor: equal logits of
    two classes would differ, and the labels depend on how many classes are resized at a time.
    """
    resized = logits.new_empty(1, logits.shape[1], *size)
    for k in range(logits.shape[1]):
        of_one = logits[:, k : k + 1]
        resized[:, k : k + 1] = F.interpolate(of_one, size, mode="bilinear", align_corners=False)
    return resized
