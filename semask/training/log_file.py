"""Reading the log of a training run, without what writing it needs.

`semask.training.run_log` says what is in it.
"""

import json
from pathlib import Path
from typing import Any

from semask.base.errors import InputError


def read_log(path: Path) -> list[dict[str, Any]]:
    """Lines of a log, in order; a last line that a killed run left half-written is dropped.

    Raises:
        InputError: a line is damaged.
    """
    if not path.is_file():
        return []
    lines = []
    text = path.read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        if line.endswith("\n"):
            try:
                lines.append({**json.loads(line)})
            except (TypeError, ValueError, RecursionError):
                raise InputError(
                    f"{path}: line {number} is damaged; restore the file, or delete it (of an "
                    "imported bundle the whole folder) and run snakemake again"
                ) from None
    return lines
