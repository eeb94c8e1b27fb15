"""Reading the log of a training run, without what writing it needs.

`semask.run_log` says what is in it.
"""

import json
from pathlib import Path
from typing import Any


def read_log(path: Path) -> list[dict[str, Any]]:
    """Lines of a log, in order; a last line that a killed run left half-written is dropped."""
    if not path.is_file():
        return []
    lines = []
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            lines.append(json.loads(line))
    return lines
