"""Where a call is computed, and with which numbers: everywhere with the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, nn

from semask.devices.shared_chance import SharedChance
from semask.parity.calls import Call, is_floating

Kinds = Mapping[tuple[str, int], tuple[Sequence[Any], Sequence[Any]]]
"""Dtypes of inputs and outputs by path and number of a call, as the device has them."""

Given = Mapping[Call, list[Tensor | None]]
"""Gradients by a call's inputs, float32 on the CPU."""


@dataclass(frozen=True)
class Place:
    """A model somewhere: the reference, the device, or an honest computation on the CPU."""

    model: nn.Module  # with the names of the reference's modules
    device: torch.device
    dtype: torch.dtype = torch.float32  # of its parameters
    precision: str = "fp32"  # or bf16, fp16 (autocast)


@dataclass(frozen=True)
class Setting:
    """A place, and what a call is computed with there."""

    place: Place
    given: Given  # by the inputs of the call's parts
    kinds: Kinds  # what numbers are rounded to before they go in; float32 where a call is not in it
    # moves what goes in, and the weights, by up to half a unit in its last place: the yardstick's
    # honest computations
    moved: np.random.Generator | None = None
    # run a call's parts, too, in place of giving them: for a module that goes about it in another
    # way on the device, as fused attention does
    as_one: bool = False

    def elsewhere(self, place: Place, moved: np.random.Generator | None = None) -> "Setting":
        """The same numbers, in another place."""
        return replace(self, place=place, moved=moved)

    def kinds_of(self, call: Call) -> tuple[Sequence[Any], Sequence[Any]]:
        """Dtypes of a call's inputs and outputs."""
        usual = [torch.float32] * len(call.inputs), [torch.float32] * len(call.outputs)
        return self.kinds.get((call.path, call.number), usual)

    def placed(self, x: Any, kind: torch.dtype | None) -> Any:
        """A leaf where it is computed with: a floating tensor, float32, rounded to `kind`."""
        if not is_floating(x):
            return x.to(self.place.device) if isinstance(x, Tensor) else x
        kind = kind if kind is not None and kind.is_floating_point else torch.float32
        if self.moved is not None:
            x = moved_within(x, kind, self.moved)
        x = x.to(kind)
        # the reference computes with the very numbers, in double precision
        wide = self.place.dtype == torch.float64
        return x.to(self.place.device, torch.float64 if wide else kind)


class NotTheSameCallsError(Exception):
    """A module called other modules than the reference's, or otherwise."""


def moved_within(x: Tensor, kind: torch.dtype, by: np.random.Generator) -> Tensor:
    """Numbers that are moved by up to half a unit in the last place of `kind`."""
    share = torch.from_numpy(by.random(tuple(x.shape), dtype=np.float32)).to(x.dtype)
    return x.double().mul(1 + (share.double() - 0.5) * torch.finfo(kind).eps).to(x.dtype)


def noted(x: Tensor) -> Tensor:
    """A copy on the CPU: the module may go on to work in place."""
    return x.detach().to("cpu", copy=True)


def checksum(leaves: Sequence[Any]) -> int:
    """CRC-32 of floating tensors' bytes, of what is too much to be kept."""
    found = 0
    for leaf in filter(is_floating, leaves):
        found = crc32(leaf.detach().to("cpu").reshape(-1).view(torch.uint8).numpy(), found)
    return found


def same_chance() -> SharedChance:
    """Context of a look's pass: what is random in it is so in the same way everywhere."""
    return SharedChance(seed=0, iteration=0, samples=[])
