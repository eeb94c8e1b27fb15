"""Whether a training run's numbers are still sound."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from semask.base.errors import DivergenceError

_WINDOW = 10  # iterations whose losses are averaged
_RISE = 5.0


class LossWatch:
    """Notices a loss that is finite but explodes.

    Losses are averaged over windows of 10 iterations. A window of 5 times the lowest one so far, or
    the first iteration's loss, is worth a warning; the next one only when it is 5 times higher
    again.
    """

    def __init__(self, lines: Iterable[Mapping[str, Any]] = ()) -> None:
        """Go on after the lines of a log, which are not warned of once more."""
        self._losses: list[float] = []
        self._lowest = math.inf
        self._limit = math.inf
        self.see(lines)

    def see(self, lines: Iterable[Mapping[str, Any]]) -> list[str]:
        """What is to be said of the next lines of the log; those of evaluations are passed over."""
        said = []
        for line in lines:
            if "evaluation" in line:
                continue
            if self._lowest == math.inf:
                self._lowest, self._limit = line["loss"], _RISE * line["loss"]
            self._losses.append(line["loss"])
            if len(self._losses) < _WINDOW:
                continue
            mean = sum(self._losses) / _WINDOW
            self._losses.clear()
            if mean < self._lowest:
                self._lowest = mean
                self._limit = min(self._limit, _RISE * mean)
            elif mean > self._limit:
                said.append(
                    f"iteration {line['iteration']}: the loss has risen to {mean:.3g} over "
                    f"{_WINDOW} iterations, {mean / self._lowest:.1f} times its lowest "
                    f"({self._lowest:.3g}): the run may be diverging, lr {line['lr']:g}"
                )
                self._limit = _RISE * mean
        return said


def diverged(what: str, iteration: int, rate: float, images: Iterable[str]) -> DivergenceError:
    """The error that ends a run: `what` is no finite number in an iteration, counted from 1."""
    return DivergenceError(
        f"iteration {iteration}: {what}, lr {rate:g}, images {', '.join(images)}; a checkpoint, "
        "if there is one, is from before: lower training.learning_rate, or look at these images"
    )


def first_not_finite(tensors: Mapping[str, Any]) -> str | None:
    """Name of the first tensor that holds NaN or an infinity; None if all numbers are finite."""
    for name, tensor in tensors.items():
        if torch.is_floating_point(tensor) and not bool(torch.isfinite(tensor).all()):
            return name
    return None
