"""What a record says, held against what follows from other kept data.

They may differ by what another machine's rounding makes of the same numbers.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semask.base.errors import InputError

REMEDY = "restore the file, or delete it and run snakemake again to make it anew"

_ROUNDING = 1e-9  # relative: of sums in another order


def compare(
    name: str | Path, key: str, said: Any, found: Any, source: str, remedy: str = REMEDY
) -> None:
    """Hold what a record says against what was computed again.

    Raises:
        InputError: they differ; names the first key of those that do.
    """
    if isinstance(found, Mapping) and isinstance(said, Mapping):
        for of, value in found.items():
            compare(name, f"{key}.{of}", said.get(of), value, source, remedy)
    elif isinstance(found, list) and isinstance(said, list) and len(found) == len(said):
        for place, (one, other) in enumerate(zip(said, found, strict=True)):
            compare(name, f"{key}.{place}", one, other, source, remedy)
    elif not _agree(said, found):
        raise InputError(
            f"{name}: {key} is {_shown(said)} but {_shown(found)} follows from its {source}: "
            f"one of them was changed; {remedy}"
        )


def _agree(said: Any, found: Any) -> bool:
    if is_number(said) and is_number(found):
        return math.isclose(said, found, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
    return bool(said == found)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.10g}"
    return "nothing" if value is None else f"{value!r:.60}"


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a number that is finite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
