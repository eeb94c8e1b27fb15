"""Values of command-line options, checked where they come in: a wrong one gives one line.

Each function makes, or is, what `add_argument` takes as `type`.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from semask.base.errors import InputError


def whole_number(option: str, minimum: int) -> Callable[[str], int]:
    """Reader of an integer of at least `minimum`."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if value < minimum:
            raise InputError(
                f"{option}: {text!r} is not a whole number from {minimum} on; give one"
            )
        return value

    return read


def number_between(option: str, low: float, high: float = math.inf) -> Callable[[str], float]:
    """Reader of a number above `low` and below `high`."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low < value < high:
            limits = f"above {low:g}" + (f" and below {high:g}" if high < math.inf else "")
            raise InputError(f"{option}: {text!r} is not a number {limits}; give one")
        return value

    return read


def new_file(text: str) -> Path:
    """A file to write: not a folder, nor below a file."""
    path = Path(text)
    if path.is_dir():
        raise InputError(f"{path}: a folder, where a file is to be written; give another name")
    _refuse_file_above(path)
    return path


def new_folder(text: str) -> Path:
    """A folder to write into: not a file, nor below one."""
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: not a folder, where files are to be written; give another name")
    _refuse_file_above(path)
    return path


def _refuse_file_above(path: Path) -> None:
    for parent in path.parents:
        if parent.is_dir():
            return
        if parent.exists():
            raise InputError(f"{parent}: not a folder, {path} cannot lie in it; give another name")


SHARED: dict[str, dict[str, Any]] = {
    "--train-manifest": {"type": Path, "required": True},
    "--val-manifest": {"type": Path, "required": True},
    "--root": {"type": Path, "required": True, "help": "folder of the data set"},
    "--labels": {"type": Path, "required": True, "help": "converted labels"},
    "--record": {"type": new_file, "required": True},
    "--processes": {"type": whole_number("--processes", 1), "default": 1},
    "--nodes": {
        "type": whole_number("--nodes", 1),
        "default": 1,
        "help": "of the Slurm job, over which the processes are spread; with 1 they run on this "
        "machine",
    },
    "--stall-minutes": {
        "type": number_between("--stall-minutes", 0),
        "default": 30,
        "help": "end the processes when nothing has moved for so long",
    },
}
"""What `add_argument` takes for options that several scripts have."""
