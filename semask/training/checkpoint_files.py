"""Checkpoints of training as files: a digest, then what `torch.save` makes of the state.

The first line is the SHA-256 of all that follows, in hexadecimal, so a file that was cut or damaged
is known before anything in it is read.
"""

import hashlib
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from semask.base.errors import InputError
from semask.base.files import atomically

_LINE = hashlib.sha256().digest_size * 2 + 1


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state of tensors and plain values, whole or not at all.

    Raises:
        OSError: it cannot be written, for example because the disk is full.
    """
    with atomically(path) as temporary, open(temporary, "wb+") as file:
        file.write(b" " * _LINE)
        try:
            torch.save(dict(state), file)
        except RuntimeError as fault:
            # torch notices that bytes are missing; the reason is what it was handling
            if isinstance(fault.__context__, OSError):
                raise fault.__context__ from None
            raise
        digest = _digest(file)
        file.seek(0)
        file.write(f"{digest}\n".encode())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `write_checkpoint` wrote; tensors are in host memory.

    Raises:
        InputError: the file is missing, cut or damaged; one line without advice.
    """
    try:
        with open(path, "rb") as file:
            line = file.read(_LINE)
            if line != f"{_digest(file)}\n".encode():
                raise InputError(f"{path}: damaged: its digest is another one")
            file.seek(_LINE)
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
            return state
    except OSError as fault:
        raise InputError(f"{path}: cannot be read ({fault.strerror})") from None
    except pickle.UnpicklingError:
        raise InputError(f"{path}: holds objects, which no trainer writes") from None


def _digest(file: io.BufferedIOBase) -> str:
    """SHA-256 of what follows the first line."""
    file.seek(_LINE)
    return hashlib.file_digest(file, "sha256").hexdigest()
