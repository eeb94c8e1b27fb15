"""Whether a file that is new here holds weights, asked before a digest of it is pinned."""

from pathlib import Path

from semask.base import startup
from semask.base.errors import InputError


def check_weights(path: Path) -> None:
    """Reads a file of weights; InputError where it is damaged, no such file, or holds nothing."""
    # torch takes seconds to import: only where a file has come
    with startup.imports():
        from semask.evaluation.weight_files import read_state_dict

    if not read_state_dict(path):
        raise InputError(f"{path}: holds nothing; fetch it again")
