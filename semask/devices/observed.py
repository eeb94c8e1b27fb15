"""By which operators attention was computed, as opposed to what was asked for."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch.autograd import _disable_profiler_legacy, _enable_profiler_legacy
from torch.autograd.profiler_legacy import profile

from semask.base.errors import InputError

EXPLICIT = "explicit"
"""Attention as products and a softmax, without an operator of its own."""

_STEP_BY_STEP = {EXPLICIT, "scaled_dot_product_attention_math"}
# that without a suffix only chooses among the others
_OPERATOR = re.compile(r"\w+::_*((?:scaled|npu|fusion).*attention.*)(?<!dot_product_attention)")


@contextmanager
def noted_attention(wanted: bool = True) -> Iterator[list[str]]:
    """Notes by which operators attention is computed, by torch's names for them.

    Yields a list that has them, sorted, or `EXPLICIT` alone, once the context is left; nothing is
    looked at where that is not `wanted`.
    """
    found: list[str] = []
    if not wanted:
        yield found
        return
    # The old profiler prints nothing, leaves tracing on the device to who profiles, and sees what
    # compiled code calls, too; its own reading of what it saw stumbles over communication.
    _enable_profiler_legacy(profile().config())
    try:
        yield found
    finally:
        seen = [record.name() for thread in _disable_profiler_legacy() for record in thread]
    names = map(_OPERATOR.fullmatch, seen)
    found += sorted({name[1] for name in names if name}) or [EXPLICIT]


def check_attention(found: Sequence[str], fused: bool) -> None:
    """Check that attention was computed in one operator, if it was to be (`fused`).

    `found` is as `noted_attention` gives it, nothing where nothing was looked at. InputError where
    torch computed step by step where it was not to.
    """
    if fused and found and _STEP_BY_STEP.issuperset(found):
        raise InputError(
            "execution.fused_attention: torch has no fused operator for this here and took "
            f"{', '.join(found)}; take the device out of execution.fused_attention"
        )
