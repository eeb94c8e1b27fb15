"""Operators that run on the host because an NPU lacks them."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from semask.base.errors import InputError
from semask.devices import error_stream
from semask.devices.distributed import gather_objects

# torch_npu's words, up to 2.12 and from 2.13 on
_FALLBACK = re.compile(
    r"operator '?([\w:.]+)'? is (?:not currently|currently not) supported\s+on the NPU backend"
)
_REFUSED = re.compile(r"operator '([\w:.]+)' would execute")


@contextmanager
def noted_fallbacks(device: torch.device) -> Iterator[Callable[[], list[str]]]:
    """Notes the operators that run on the host because the NPU lacks them.

    torch_npu says so on standard error, past Python, once for each operator, of several processes
    in the first alone. On other devices nothing falls back.

    Yields a function that gives the operators so far, sorted. InputError where an operator fell
    back although that is forbidden.
    """
    if device.type != "npu":
        yield list
        return
    with error_stream.copied() as written:
        try:
            yield lambda: sorted(set(_FALLBACK.findall(written())))
        except RuntimeError as fault:
            if "CPU fallback is disabled" not in str(fault):
                raise
            raise _forbidden(_REFUSED.findall(str(fault))) from fault


def allowed_fallbacks(own: Sequence[str], forbidden: bool) -> list[str]:
    """Operators that fell back in any process, sorted; every process calls this with its own.

    InputError where there are some where they are forbidden: torch_npu 2.12 does not see to it.
    """
    found = sorted({name for names in gather_objects(list(own)) for name in names})
    if found and forbidden:
        raise _forbidden(found)
    return found


def _forbidden(operators: Sequence[str]) -> InputError:
    return InputError(
        f"npu.forbid_fallbacks: the NPU lacks {', '.join(operators)}, which would run on the "
        "host's CPU; use another torch_npu or CANN, or set the key to false to have it reported"
    )
