"""Random numbers that are the same on every device: drawn on the host, by a rule of their place.

A device's own generator draws other dropout masks than another kind's, so that two trainings of the
same seed agree to a percent only. Within `SharedChance`, what is random in a forward pass comes
from a counter-based generator (Philox) that is keyed by the seed, the iteration, the site and the
sample: not by the device, the number of processes, or what was drawn before.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

_CHANNELS = {F.dropout1d: 1, F.dropout2d: 2, F.dropout3d: 3}
_ELEMENTS = 256  # of each sample that are noted, at most


class _OfRandomFunctions(TorchFunctionMode):
    """Hands a pass's uses of random functions to `_dropout` and `_bernoulli`."""

    _dropout: Callable[..., Tensor]
    _bernoulli: Callable[..., Tensor]

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.dropout or func in _CHANNELS:
            return self._dropout(func, *args, **kwargs)
        if func is Tensor.bernoulli_:
            return self._bernoulli(*args, **kwargs)
        return func(*args, **kwargs)


class SharedChance(_OfRandomFunctions):
    """Context of a forward pass whose dropout and drop-path masks are the same on every device.

    Of torch's functions it answers `dropout` and its forms for channels, and `bernoulli_`. Each
    use is a site, counted in the order of the pass. Where the first dimension holds several things
    of each sample (its windows), the mask is the sample's.

    Iterations are counted from 1; `samples` are the numbers of the pass's samples in the
    iteration's batch, in order.
    """

    def __init__(self, seed: int, iteration: int, samples: Sequence[int]):
        super().__init__()
        self._seed, self._iteration, self._samples = seed, iteration, list(samples)
        self._site = 0

    def _dropout(
        self, func: Any, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        if not training or p == 0:
            return x
        spatial = _CHANNELS.get(func)
        # a mask for each channel of (B, C, …), or for each element
        shape = x.shape if spatial is None else (*x.shape[: x.dim() - spatial], *[1] * spatial)
        kept = self._kept(tuple(shape), 1 - p, x.device)
        factor = kept.to(x.dtype) / (1 - p)
        return x.mul_(factor) if inplace else x * factor

    def _bernoulli(self, x: Tensor, p: Any = 0.5, *, generator: Any = None) -> Tensor:
        if isinstance(p, Tensor):
            raise NotImplementedError("bernoulli_ of a tensor of probabilities under shared chance")
        return x.copy_(self._kept(tuple(x.shape), float(p), x.device))

    def _kept(self, shape: tuple[int, ...], probability: float, device: torch.device) -> Tensor:
        """True with a probability, by sample."""
        samples = self._samples
        if not shape or not samples or shape[0] % len(samples):
            samples = [0]
        each = (shape[0] // len(samples) if shape else 1, *shape[1:])
        site, self._site = self._site, self._site + 1
        drawn = []
        for sample in samples:
            source = np.random.Philox(key=self._seed, counter=[0, self._iteration, site, sample])
            numbers = np.random.Generator(source).random(each, dtype=np.float32)
            drawn.append(numbers < np.float32(probability))
        return torch.from_numpy(np.concatenate(drawn).reshape(shape)).to(device)


def chance_of(
    shared: bool, seed: int, iteration: int, samples: Sequence[int]
) -> AbstractContextManager[Any]:
    """Context of a pass of training: its masks come from everywhere, or from the device itself."""
    return SharedChance(seed, iteration, samples) if shared else nullcontext()


class Counted(_OfRandomFunctions):
    """Context that notes what a device's own generator draws, site by site.

    Args:
        found: gets for each use of a random function its name, the probability to be kept that it
            was asked for, and what was kept: bool (samples, some elements of each), on the CPU.
    """

    def __init__(self, found: list[tuple[str, float, Tensor]]):
        super().__init__()
        self._found = found

    def _dropout(
        self, func: Any, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        if not training or p == 0:
            return x
        # of ones, so that nothing is taken for dropped that was zero before
        mask = func(torch.ones_like(x), p, True)
        spatial = _CHANNELS.get(func)
        seen = mask if spatial is None else mask.flatten(-spatial)[..., 0]
        self._note(func.__name__, 1 - p, seen)
        return x * mask

    def _bernoulli(self, x: Tensor, p: Any = 0.5, **options: Any) -> Tensor:
        result = x.bernoulli_(p, **options)
        self._note("bernoulli_", float(p), result)
        return result

    def _note(self, name: str, probability: float, seen: Tensor) -> None:
        some = seen.flatten(1)[:, :_ELEMENTS] if seen.dim() > 1 else seen[:, None]
        self._found.append((name, probability, (some != 0).cpu()))
